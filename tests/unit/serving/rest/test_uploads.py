import asyncio
import io
import itertools
import threading
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from voxray.audio import SAMPLE_RATE, encode
from voxray.errors import AudioError
from voxray.serving.api_error import ApiError
from voxray.serving.rest.limits import MemoryBudget, MemoryShare
from voxray.serving.rest.uploads import DecoderPool, Upload, receive_upload
from voxray.serving.settings import Limits
from voxray.transcribe import Cutting

MB = 1 << 20


def form(sound: bytes, **fields: Any) -> tuple[bytes, str]:
    """A form's body and content type, as a client sends it."""
    request = httpx2.Request("POST", "http://h/", data=fields, files={"file": ("a.wav", io.BytesIO(sound))})
    return request.read(), request.headers["content-type"]


def request(chunks: Sequence[bytes], kind: str, *, then: str = "end") -> Request:
    """A request whose body comes in `chunks`; `then` it ends, or the client goes, or nothing comes."""
    messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    if then == "end":
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    if then == "gone":
        messages.append({"type": "http.disconnect"})
    left = iter(messages)

    async def receive() -> Any:
        for message in left:
            return message
        await asyncio.Event().wait()

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


def received(request: Request, limits: Limits | None = None) -> tuple[bytes, dict[str, list[str]], str]:
    async def receive() -> tuple[bytes, dict[str, list[str]], str]:
        async with receive_upload(request, limits or Limits()) as upload:
            return upload.file.read(), dict(upload.fields), upload.name

    return asyncio.run(receive())


@given(st.binary(max_size=300), st.integers(1, 50))
def test_a_form_is_the_same_however_its_body_is_cut(sound: bytes, size: int) -> None:
    body, kind = form(sound, model="whisper-1", **{"include[]": ["a", "b"]})
    chunks = [body[i : i + size] for i in range(0, len(body), size)]

    assert received(request(chunks, kind)) == (
        sound,
        {"model": ["whisper-1"], "include[]": ["a", "b"]},
        "a.wav",
    )


def test_a_large_file_lies_on_disk_until_it_is_done_with() -> None:
    body, kind = form(bytes(3 * MB))

    async def receive() -> Any:
        async with receive_upload(request([body[:MB], body[MB:]], kind), Limits()) as upload:
            file: Any = upload.file
            assert file._rolled
            assert len(file.read()) == 3 * MB
        return file

    assert asyncio.run(receive()).closed


def test_the_limit_is_on_what_was_received() -> None:
    body, kind = form(bytes(1000))

    received(request([body], kind), Limits(body_bytes=len(body)))
    with pytest.raises(ApiError, match="got more") as raised:
        received(request([body], kind), Limits(body_bytes=len(body) - 1))
    assert raised.value.status == 413


def test_a_body_that_stops_coming_is_given_up() -> None:
    body, kind = form(bytes(1000))

    with pytest.raises(ApiError, match="got nothing for") as raised:
        received(request([body[:500]], kind, then="nothing"), Limits(start_s=0.05))
    assert raised.value.status == 408


def test_a_body_that_trickles_is_given_up() -> None:
    """Each byte comes in time, and the whole would take for ever."""

    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    pieces = itertools.chain([head], itertools.repeat(b"-"))

    async def receive() -> Any:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    kind = b"multipart/form-data; boundary=b"
    trickling = Request({"type": "http", "headers": [(b"content-type", kind)]}, receive)

    with pytest.raises(ApiError, match="got fewer") as raised:
        received(trickling, Limits(start_s=0.2, body_bytes=1000))
    assert raised.value.status == 408


def test_a_client_that_goes_while_it_sends_ends_the_reading() -> None:
    body, kind = form(bytes(1000))

    with pytest.raises(ClientDisconnect):
        received(request([body[:500]], kind, then="gone"))


def test_a_body_that_is_cut_off_is_refused_and_not_taken_for_one_without_a_file() -> None:
    body, kind = form(bytes(3 * MB))

    with pytest.raises(ApiError, match="closing boundary") as raised:
        received(request([body[: 2 * MB]], kind))
    assert raised.value.status == 400


def test_two_files_and_files_in_other_fields_are_refused() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n1\r\n'
    for names in ((b"file", b"file"), (b"audio",)):
        body = b"".join(part % name for name in names) + b"--b--\r\n"
        with pytest.raises(ApiError) as raised:
            received(request([body], "multipart/form-data; boundary=b"))
        assert raised.value.status == 400


class Gate(io.BytesIO):
    """A file whose reads wait for `open`, and are counted."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reached, self.open = threading.Event(), threading.Event()
        self.reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        self.reached.set()
        assert self.open.wait(30)
        return super().read(size)


def test_a_decoder_whose_file_is_closed_stops_reading_it() -> None:
    sound = encode(np.zeros(600 * SAMPLE_RATE, dtype=np.int16), "pcm_s16le", "wav")
    whole = Gate(sound)
    whole.open.set()
    budget = MemoryBudget(3600.0)

    async def play() -> Gate:
        decoders = DecoderPool(Limits())
        with budget.share() as share:
            await decoders.windows(Upload({}, whole, "whole.wav"), Cutting(), share)
        gate = Gate(sound)
        work = decoders.windows(Upload({}, gate, "left.wav"), Cutting(), MemoryShare(budget))
        task = asyncio.create_task(work)
        await asyncio.to_thread(gate.reached.wait, 30)
        task.cancel()
        gate.close()
        gate.open.set()
        await asyncio.to_thread(decoders.close)
        return gate

    assert asyncio.run(play()).reads < whole.reads / 10


def test_sound_longer_than_the_limit_is_refused_by_name() -> None:
    sound = encode(np.zeros(3 * SAMPLE_RATE, dtype=np.int16))
    decoders = DecoderPool(Limits(decoded_s=2.0))
    upload = Upload({}, io.BytesIO(sound), "talk.flac")

    with (
        pytest.raises(AudioError, match=r"talk\.flac: expected at most 2 s"),
        MemoryBudget(2.0).share() as share,
    ):
        asyncio.run(decoders.windows(upload, Cutting(), share))
    decoders.close()
