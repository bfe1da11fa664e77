"""Uploads: read into a spooled file within limits, and decoded from it in a bounded number of threads."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from voxray.audio import SAMPLE_RATE, Block, Selection, channel_count, decode_blocks
from voxray.errors import AudioError
from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.rest.limits import MemoryShare
from voxray.serving.settings import Limits
from voxray.transcribe import Cutting, Windows, cut_sections

MULTIPART = "multipart/form-data"
BODY_BYTES = 64 << 10  # of a request that is no upload
MAX_FIELDS = 64
MAX_FIELD_BYTES = 64 << 10
MAX_NAME = 80  # characters of a file's name, in messages
MIN_RATE = 16 << 10  # bytes per second of a body: one who trickles holds an upload for nothing
DECODERS = 2  # at once in one gateway, whose other cores are for live audio


@dataclass(frozen=True, slots=True)
class Upload:
    """A form: its text fields, each with all of its values, and its spooled file."""

    fields: Mapping[str, list[str]]
    file: BinaryIO
    name: str


async def receive_body(request: Request) -> bytes:
    """Return the body of `request`, which is no upload; ApiError 413 where it is over BODY_BYTES."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise ApiError(413, f"expected a body of at most {BODY_BYTES} bytes, got more.")
    return body


@asynccontextmanager
async def receive_upload(request: Request, limits: Limits) -> AsyncIterator[Upload]:
    """Receive the form in the body of `request`, and keep its file open for the duration of the block.

    Raises ApiError: 415 if it is not a form, 413 over `limits.body_bytes` by its header or by count (the rest
    is left unread), 408 if nothing comes for `limits.start_s`, or less than `MIN_RATE` after that, 400 if it
    is truncated or has not exactly one file. Raises starlette's ClientDisconnect if the client disconnects.
    """
    async with receive_form(request, limits) as form:
        yield _upload(form)


@asynccontextmanager
async def receive_form(request: Request, limits: Limits) -> AsyncIterator[FormData]:
    """As `receive_upload`, for a form whose fields are not checked yet."""
    _check_headers(request, limits.body_bytes)
    try:
        form = await _FormParser(request, limits).parse()
    except MultiPartException as e:
        raise ApiError(
            400, f"expected a form with one file, got one that cannot be read ({e.message})"
        ) from e
    try:
        yield form
    finally:
        await form.close()


class DecoderPool:
    """Threads that decode files and cut them into windows, `DECODERS` at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="voxray-files")

    async def windows(
        self,
        upload: Upload,
        cutting: Cutting,
        share: MemoryShare,
        warn: Callable[[str], None] | None = None,
        *,
        track: int | None = None,
        multichannel: bool = False,
    ) -> list[Windows]:
        """Return the windows of each channel of an upload, or of their mix; `warn` as for `decode`.

        AudioError if it is not audio, or longer than `limits.decoded_s`; ApiError 429 if `share` cannot grow.
        If the caller is cancelled and closes file or `share`, the decoding ends too.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, self._windows, upload, cutting, share, warn, track, multichannel
        )

    def close(self) -> None:
        """Wait for running decodes, and end the threads."""
        self._pool.shutdown()

    def _windows(
        self,
        upload: Upload,
        cutting: Cutting,
        share: MemoryShare,
        warn: Callable[[str], None] | None,
        track: int | None,
        multichannel: bool,
    ) -> list[Windows]:
        channels: list[int | None] = [None]
        if multichannel:
            channels = list(range(channel_count(upload.file, name=upload.name, track=track)))
        found = []
        for channel in channels:
            blocks = decode_blocks(
                upload.file,
                name=upload.name,
                warn=warn,
                selection=Selection(track, channel),
            )
            found.append(cut_sections(self._limited(blocks, upload.name, share), cutting))
        return found

    def _limited(self, blocks: Iterator[Block], name: str, share: MemoryShare) -> Iterator[Block]:
        """Yield `blocks`, up to the limits on their samples."""
        max_s = self._limits.decoded_s
        samples = 0
        for block in blocks:
            samples += len(block.pcm)
            if samples > max_s * SAMPLE_RATE:
                raise AudioError(f"{name}: expected at most {max_s:g} s, got more; split it.")
            share.grow(len(block.pcm))
            yield block


class _FormParser(MultiPartParser):
    """Starlette's parser for one file; that alone would take a truncated body for a form without a file."""

    def __init__(self, request: Request, limits: Limits) -> None:
        chunks = self._chunks(request, limits)
        super().__init__(
            request.headers, chunks, max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
        )
        self._ended = False

    def on_end(self) -> None:
        """Called by the parser at the closing boundary."""
        self._ended = True

    async def _chunks(self, request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
        async with aclosing(_bounded(request, limits)) as chunks:
            async for chunk in chunks:
                yield chunk
        if not self._ended:
            raise MultiPartException("its closing boundary is missing.")


def _check_headers(request: Request, max_bytes: int) -> None:
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != MULTIPART:
        raise invalid_field("Content-Type", MULTIPART, kind, status=415)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes, f"Content-Length {length}")


def _too_large(max_bytes: int, got: str) -> ApiError:
    message = f"file: expected a body of at most {max_bytes} bytes, got {got}; split it or compress it."
    return ApiError(413, message, param="file", code="file_too_large")


async def _bounded(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """Yield the body's chunks, up to the limit."""
    count = 0
    now_s = asyncio.get_running_loop().time
    began_s = now_s()
    async with aclosing(request.stream()) as chunks:
        while True:
            left_s = began_s + limits.start_s + count / MIN_RATE - now_s()
            chunk = await _next(chunks, limits.start_s, left_s)
            if chunk is None:
                return
            count += len(chunk)
            if count > limits.body_bytes:
                raise _too_large(limits.body_bytes, "more")
            yield chunk


async def _next(chunks: AsyncIterator[bytes], silent_s: float, left_s: float) -> bytes | None:
    """Return the next chunk, or None; wait at most `silent_s`, and `left_s` for the body's mean rate."""
    try:
        async with asyncio.timeout(min(silent_s, left_s)):
            return await anext(chunks, None)
    except TimeoutError as e:
        got = f"nothing for {silent_s:g} s" if silent_s <= left_s else "fewer"
        message = f"expected {MIN_RATE} bytes of the body a second or more, got {got}."
        raise ApiError(408, message) from e


def _upload(form: FormData) -> Upload:
    fields: dict[str, list[str]] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files[name] = value
        else:
            fields.setdefault(name, []).append(value)
    for name in files.keys() - {"file"}:
        raise invalid_field(name[:MAX_NAME], "no file in this field; send it as file", files[name].filename)
    if not files and "file" not in fields:
        raise ApiError(400, "file: expected a file, got none.", param="file", code="missing_parameter")
    if not files:
        raise invalid_field("file", "a file with its name", "text")
    sent = files["file"]
    return Upload(fields, sent.file, (sent.filename or "file")[:MAX_NAME])
