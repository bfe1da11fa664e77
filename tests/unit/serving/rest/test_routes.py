"""OpenAI's own client, unchanged, against the API over a real socket and the small model."""

import asyncio
import base64
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
import uvicorn
from openai.types.audio import TranscriptionVerbose, TranslationVerbose
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.testclient import TestClient
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8
from tests.unit.audio.files import Track, channels_as_wav, muxed
from tests.unit.serving.gateway.scripted import ScriptedDirectory
from typer.testing import CliRunner

from voxray.audio import SAMPLE_RATE, Pcm, decode, encode
from voxray.cli import app as cli
from voxray.errors import ServiceError
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.protocol import ModelDescription
from voxray.serving.rest.routes import Api, while_connected
from voxray.serving.settings import Limits, ServiceArgs
from voxray.transcribe import transcribe
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, DecodingResult

KEY = "a-good-key"


@dataclass
class EngineTranscriber:
    """The small model in this process, one call at a time."""

    engine: CTranslate2Engine
    calls: list[float] = field(default_factory=list)
    asked: list[DecodingOptions] = field(default_factory=list)
    models: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    async def describe(self, model: str | None) -> ModelDescription:
        if model == "broken":
            raise ServiceError("model 'broken': expected one that can be loaded.")
        languages = ("de",) if model == "german" else ("en",)
        return ModelDescription(self.engine.min_window_s, languages, loaded=model is None)

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        return [None if model == "broken" else await self.describe(model) for model in models]

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        self.calls.append(sum(len(c) for c in clips) / SAMPLE_RATE)
        self.asked.append(options)
        self.models.append(model)
        return await asyncio.to_thread(self._results, clips, options)

    def _results(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        with self._lock:
            return self.engine.transcribe(clips, options)


@dataclass
class StuckTranscriber:
    """Never answers; says when it was asked, and when it was left."""

    asked: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    async def describe(self, model: str | None) -> ModelDescription:
        return ModelDescription(2.0, ("en",))

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        raise ServiceError("expected a transcriber, got none.")

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return []


@dataclass
class FullTranscriber(StuckTranscriber):
    """Takes no work."""

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        raise ServiceError("expected a transcriber with room, and all are full; ask again soon.")


def app_of(transcriber: Any, args: ServiceArgs | None = None, keys: str = "") -> Starlette:
    """The gateway's app with the API, which nobody streams to."""
    args = (args or ServiceArgs()).model_copy(update={"model": "small"})
    environ = {"VOXRAY_API_KEYS": keys}
    api = Api(transcriber, args, ModelCatalog(args, AccessPolicy.of(args, environ)))
    return gateway_app.build(
        ScriptedDirectory(), args, routes=api.routes, running=api.running, environ=environ
    )


@contextmanager
def served(transcriber: Any, args: ServiceArgs | None = None, keys: str = "") -> Iterator[str]:
    """The API on a port of its own, until the end of the context; its address."""
    with listening(app_of(transcriber, args, keys)) as address:
        yield address


@contextmanager
def listening(app: Starlette) -> Iterator[str]:
    """`app` on a port of its own, until the end of the context; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
    assert not thread.is_alive()


def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def client_of(address: str, key: str = KEY) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    return CTranslate2Engine(SMALL_MODEL_INT8, device="cpu", threads=1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips, one after another, as a file of half a minute."""
    pause = np.zeros(SAMPLE_RATE, dtype=np.int16)
    clips = [decode(f) for f in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:12]]
    path = tmp_path_factory.mktemp("rest") / "talk.flac"
    path.write_bytes(encode(np.concatenate([part for clip in clips for part in (clip, pause)])))
    return path


@pytest.fixture(scope="module")
def address(engine: CTranslate2Engine) -> Iterator[str]:
    with served(EngineTranscriber(engine), ServiceArgs(models={"my-model": "small"}), KEY) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with client_of(address) as client:
        yield client


@pytest.fixture
def small(engine: CTranslate2Engine) -> Iterator[TestClient]:
    """The API with small limits, without a socket."""
    limits = Limits(body_bytes=200_000, decoded_s=2.0)
    app = app_of(EngineTranscriber(engine), ServiceArgs(limits=limits))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def printed(recording: Path, form: str) -> str:
    done = CliRunner().invoke(
        cli,
        ["transcribe", "--model", str(SMALL_MODEL_INT8), str(recording), "--format", form, "--device", "cpu"],
    )
    assert done.exit_code == 0
    return done.stdout


def test_json_is_the_text_that_the_same_engine_gives(
    client: openai.OpenAI, recording: Path, engine: CTranslate2Engine
) -> None:
    with recording.open("rb") as file:
        transcription = client.audio.transcriptions.create(model="whisper-1", file=file)

    assert transcription.text == transcribe(decode(recording), engine).text
    assert len(transcription.text.split()) > 20


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_a_format_is_what_the_command_line_prints(form: Any, client: openai.OpenAI, recording: Path) -> None:
    with recording.open("rb") as file:
        transcription = client.audio.transcriptions.create(model="small", file=file, response_format=form)

    assert str(transcription) == printed(recording, form)


def test_verbose_json_has_segments_and_words_with_times(
    client: openai.OpenAI, recording: Path, engine: CTranslate2Engine
) -> None:
    with recording.open("rb") as file:
        transcription = client.audio.transcriptions.create(
            model="my-model",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            language="en",
        )
    expected = transcribe(decode(recording), engine, DecodingOptions(language="en", words=True))

    assert isinstance(transcription, TranscriptionVerbose)
    assert transcription.language == "english"
    assert transcription.duration == expected.duration_s
    assert [(s.start, s.end, s.text) for s in transcription.segments or ()] == [
        (s.start_s, s.end_s, s.text) for s in expected.segments
    ]
    assert [(w.word, w.start, w.end) for w in transcription.words or ()] == [
        (w.text, w.start_s, w.end_s) for s in expected.segments for w in s.words
    ]
    assert all(
        s.tokens and s.avg_logprob <= 0 and s.no_speech_prob >= 0 for s in transcription.segments or ()
    )


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # openai's word on its own whisper-1
def test_translations_answer_in_english(client: openai.OpenAI, recording: Path) -> None:
    with recording.open("rb") as file:
        plain = client.audio.translations.create(model="whisper-1", file=file)
        file.seek(0)
        verbose = client.audio.translations.create(
            model="whisper-1", file=file, response_format="verbose_json", temperature=0.2
        )

    assert isinstance(verbose, TranslationVerbose)
    assert verbose.language == "english"
    assert verbose.text == plain.text


def test_a_stream_tells_the_windows_in_order_and_then_all(client: openai.OpenAI, recording: Path) -> None:
    with recording.open("rb") as file:
        whole = client.audio.transcriptions.create(model="whisper-1", file=file)
        file.seek(0)
        streamed = list(client.audio.transcriptions.create(model="whisper-1", file=file, stream=True))

    deltas = [event.delta for event in streamed if event.type == "transcript.text.delta"]
    assert len(deltas) > 3
    assert [event.type for event in streamed] == ["transcript.text.delta"] * len(deltas) + [
        "transcript.text.done"
    ]
    assert streamed[-1].type == "transcript.text.done"
    assert "".join(deltas) == streamed[-1].text == whole.text


def test_a_long_recording_goes_out_in_groups(engine: CTranslate2Engine, recording: Path) -> None:
    transcriber = EngineTranscriber(engine)
    long = encode(np.tile(decode(recording), 5))
    with served(transcriber) as address, client_of(address) as client:
        transcription = client.audio.transcriptions.create(model="small", file=("long.flac", long))

    assert len(transcriber.calls) >= 2
    assert max(transcriber.calls) <= 60
    assert transcription.text == transcribe(decode(long), engine).text


def test_models_are_listed_and_found_by_name(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["small", "whisper-1", "my-model"]
    mine = client.models.retrieve("my-model").model_dump()
    assert (mine["owned_by"], mine["source"], mine["loaded"]) == ("voxray", "small", True)
    assert (mine["min_window_s"], mine["languages"]) == (2.0, ["en"])
    with pytest.raises(openai.NotFoundError, match="openai/whisper-tiny"):
        client.models.retrieve("openai/whisper-tiny")


def test_a_request_chooses_among_the_models_and_each_key_has_its_default(engine: CTranslate2Engine) -> None:
    transcriber = EngineTranscriber(engine)
    args = ServiceArgs(models={"german": "/de", "broken": "/none"})
    with served(transcriber, args, f"{KEY} german,other") as address:
        with client_of(address) as client:
            assert [m.id for m in client.models.list()] == ["german", "whisper-1", "small", "broken"]
            found = {m.id: m.model_dump() for m in client.models.list()}
            assert [found[name]["loaded"] for name in ("german", "small", "broken")] == [False, True, False]
            assert found["broken"]["min_window_s"] is None
            with pytest.raises(openai.BadRequestError, match=r"language: expected one .*knows \(de\)"):
                client.audio.transcriptions.create(
                    model="whisper-1", file=("a.flac", speech()), language="en"
                )
            for model in ("whisper-1", "small", "german"):
                client.audio.transcriptions.create(model=model, file=("a.flac", speech()))
            with pytest.raises(openai.InternalServerError, match="model 'broken'"):
                client.audio.transcriptions.create(model="broken", file=("a.flac", speech()))
        headers = {"Authorization": "Bearer other"}
        listed = httpx2.get(f"{address}/v1/models", headers=headers).json()["data"]
        assert [m["id"] for m in listed] == ["small", "whisper-1", "german", "broken"]
    assert transcriber.models == ["german", None, "german"]


def test_models_are_listed_without_a_transcriber_too() -> None:
    with served(StuckTranscriber()) as address:
        listed = httpx2.get(f"{address}/v1/models").json()["data"]

    assert [(m["id"], m["loaded"], m["languages"]) for m in listed] == [
        ("small", False, None),
        ("whisper-1", False, None),
    ]


def test_fields_of_openai_that_mean_nothing_here_are_ignored(client: openai.OpenAI, recording: Path) -> None:
    with recording.open("rb") as file:
        transcription = client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            include=["logprobs"],
            chunking_strategy={"type": "server_vad", "threshold": 0.4},
            temperature=0.5,
            language="auto",
            extra_body={"user": "someone", "vad_filter": True, "beam_size": 5, "metadata": {"trace": "7"}},
        )
        file.seek(0)
        plain = client.audio.transcriptions.create(model="whisper-1", file=file)

    assert transcription.text == plain.text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # openai's word on its own whisper-1
def test_prompt_and_hotwords_reach_every_window_as_they_do_live(
    engine: CTranslate2Engine, recording: Path
) -> None:
    transcriber = EngineTranscriber(engine)
    with served(transcriber) as address, client_of(address) as client, recording.open("rb") as file:
        client.audio.transcriptions.create(
            model="small", file=file, prompt="Weather.", extra_body={"hotwords": ["light", "music"]}
        )
        file.seek(0)
        client.audio.translations.create(model="small", file=file, prompt="Music.")

    assert {(o.prompt, o.hotwords) for o in transcriber.asked} == {
        ("Weather.", "light, music"),
        ("Music.", ""),
    }


def test_a_prompt_is_decoded_before_the_text(engine: CTranslate2Engine, recording: Path) -> None:
    clip = decode(recording)[: 5 * SAMPLE_RATE]
    plain, prompted = (
        engine.transcribe([clip], DecodingOptions(prompt=prompt))[0]
        for prompt in ("", "turn on the light " * 20)
    )

    assert plain.avg_logprob != prompted.avg_logprob


def test_a_stream_of_verbose_json_has_events_for_segments(client: openai.OpenAI, recording: Path) -> None:
    asked: dict[str, Any] = {"model": "whisper-1", "timestamp_granularities": ["word", "segment"]}
    with recording.open("rb") as file:
        whole = client.audio.transcriptions.create(file=file, response_format="verbose_json", **asked)
        file.seek(0)
        streamed = list(
            client.audio.transcriptions.create(
                file=file, response_format="verbose_json", stream=True, **asked
            )
        )

    segments = [event for event in streamed if event.type == "transcript.text.segment"]
    assert [(s.id, s.start, s.end, s.text) for s in segments] == [
        (str(s.id), s.start, s.end, s.text) for s in whole.segments or ()
    ]
    words = [word for event in segments for word in event.model_dump()["words"]]
    assert [w["word"] for w in words] == [w.word for w in whole.words or ()]
    assert "".join(e.delta for e in streamed if e.type == "transcript.text.delta") == whole.text
    assert streamed[-1].type == "transcript.text.done"


@pytest.mark.parametrize("form", [openai.omit, "json", "verbose_json"])
def test_words_alone_have_times_and_probabilities(form: Any, client: openai.OpenAI, recording: Path) -> None:
    with recording.open("rb") as file:
        found = client.audio.transcriptions.create(
            model="whisper-1", file=file, response_format=form, timestamp_granularities=["word"]
        ).model_dump()

    assert " ".join(w["word"] for w in found["words"]) == found["text"]
    assert all(0 < w["probability"] <= 1 and w["end"] >= w["start"] for w in found["words"])
    assert not found.get("segments")


def test_channels_are_transcribed_one_by_one(client: openai.OpenAI, recording: Path) -> None:
    said = decode(recording)[: 8 * SAMPLE_RATE]
    channels = np.zeros((2, 2 * len(said)), dtype=np.int16)
    channels[0, : len(said)] = channels[1, len(said) :] = said
    file = ("call.wav", channels_as_wav(list(channels)))
    asked: dict[str, Any] = {"model": "whisper-1", "file": file, "extra_body": {"multichannel": True}}
    found = client.audio.transcriptions.create(response_format="verbose_json", **asked).model_dump()
    text = client.audio.transcriptions.create(response_format="text", **asked)

    segments = found["segments"]
    numbers = [s["channel"] for s in segments]
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 2}
    halves = [[s["text"] for s in segments if s["channel"] == n] for n in (1, 2)]
    assert halves[0] == halves[1]
    assert [line.split(":")[0] for line in str(text).splitlines()] == [f"Channel {n}" for n in numbers]


def test_a_track_is_chosen_by_its_number(client: openai.OpenAI) -> None:
    file = ("film.mkv", muxed("matroska", Track("libopus", title="Film"), Track("libopus", title="Comment")))
    asked: dict[str, Any] = {"model": "whisper-1", "file": file}

    assert client.audio.transcriptions.create(extra_body={"track": 2}, **asked).text == ""
    with pytest.raises(openai.BadRequestError, match=r"1 Film, 2 Comment\), got track 3"):
        client.audio.transcriptions.create(extra_body={"track": 3}, **asked)


def test_times_are_on_the_clock_of_the_file_and_a_hole_takes_no_memory(small: TestClient) -> None:
    late = muxed("matroska", Track("libopus", seconds=1.0, late_s=(0.5, 7_200.0)))
    answer = small.post(
        "/v1/audio/transcriptions",
        files={"file": ("late.mkv", late)},
        data={"response_format": "verbose_json"},
    )

    assert answer.status_code == 200
    assert answer.json()["duration"] == pytest.approx(7_201.0, abs=0.1)


@pytest.mark.parametrize(
    ("asked", "error", "param", "code"),
    [
        ({"model": "gpt-4o"}, openai.NotFoundError, "model", "model_not_found"),
        ({"language": "de"}, openai.BadRequestError, "language", "invalid_value"),
        ({"language": "klingon"}, openai.BadRequestError, "language", "invalid_value"),
        ({"temperature": 2}, openai.BadRequestError, "temperature", "invalid_value"),
        ({"response_format": "diarized_json"}, openai.BadRequestError, "response_format", "invalid_value"),
        (
            {"timestamp_granularities": ["word"], "response_format": "srt"},
            openai.BadRequestError,
            "response_format",
            "invalid_value",
        ),
        ({"extra_body": {"diarize": "true"}}, openai.BadRequestError, "diarize", "unknown_parameter"),
        ({"extra_body": {"beams": "5"}}, openai.BadRequestError, "beams", "unknown_parameter"),
        ({"file": ("a.wav", b"")}, openai.BadRequestError, "file", "invalid_file"),
        ({"file": ("a.wav", b"not sound" * 99)}, openai.BadRequestError, "file", "invalid_file"),
        (
            {"file": ("a.mp3", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")},
            openai.BadRequestError,
            "file",
            "invalid_file",
        ),
    ],
)
def test_what_is_wrong_is_an_error_of_the_right_class(
    asked: dict[str, Any], error: type[openai.APIStatusError], param: str, code: str, client: openai.OpenAI
) -> None:
    file = ("a.flac", encode(np.zeros(SAMPLE_RATE, dtype=np.int16)))
    with pytest.raises(error) as raised:
        client.audio.transcriptions.create(**{"model": "whisper-1", "file": file, **asked})

    assert (raised.value.param, raised.value.code) == (param, code)
    assert isinstance(raised.value.body, dict)
    assert "expected" in raised.value.body["message"]
    assert raised.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_is_cut_off_is_transcribed_with_a_warning(stream: bool, client: openai.OpenAI) -> None:
    sound = encode(np.zeros(2 * SAMPLE_RATE, dtype=np.int16), "pcm_s16le", "wav")
    file = ("à.wav", sound[: len(sound) // 2])
    sent = client.audio.transcriptions.with_raw_response.create(model="whisper-1", file=file, stream=stream)

    assert sent.headers["Warning"].startswith('299 - "\\u00e0.wav: expected ')
    assert sent.headers["Warning"].endswith('the file is cut off."')


def test_silence_is_an_empty_text(client: openai.OpenAI) -> None:
    file = ("a.flac", encode(np.zeros(SAMPLE_RATE, dtype=np.int16)))
    transcription = client.audio.transcriptions.create(model="whisper-1", file=file)
    streamed = list(client.audio.transcriptions.create(model="whisper-1", file=file, stream=True))

    assert transcription.text == ""
    assert [event.type for event in streamed] == ["transcript.text.done"]


def test_a_wrong_key_is_refused_before_the_body_is_read(address: str) -> None:
    with client_of(address, "a-bad-key") as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"x"))
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
        with pytest.raises(openai.AuthenticationError):
            client.models.retrieve("small")

    assert raised.value.code == "invalid_api_key"


def test_a_body_over_the_limit_is_refused_by_its_header(small: TestClient) -> None:
    answer = small.post("/v1/audio/transcriptions", files={"file": ("a.wav", bytes(300_000))})

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "file_too_large"
    assert "got Content-Length" in answer.json()["error"]["message"]


def test_a_body_over_the_limit_is_refused_by_count_and_not_read_on() -> None:
    """Chunked, it announces nothing."""
    sent: list[int] = []
    replies: list[dict[str, Any]] = []
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'

    async def receive() -> dict[str, Any]:
        sent.append(50_000)
        return {"type": "http.request", "body": head if len(sent) == 1 else bytes(50_000), "more_body": True}

    async def send(message: Any) -> None:
        replies.append(message)

    app = app_of(StuckTranscriber(), ServiceArgs(limits=Limits(body_bytes=200_000)))
    headers = [(b"content-type", b"multipart/form-data; boundary=b"), (b"transfer-encoding", b"chunked")]
    headers.append((b"host", b"localhost"))
    scope = {"type": "http", "method": "POST", "path": "/v1/audio/transcriptions", "headers": headers}
    asyncio.run(app({**scope, "query_string": b"", "root_path": ""}, receive, send))

    assert replies[0]["status"] == 413
    assert len(sent) <= 6


def test_more_sound_than_may_be_decoded_is_refused(small: TestClient) -> None:
    sound = encode(np.zeros(3 * SAMPLE_RATE, dtype=np.int16))
    answer = small.post("/v1/audio/transcriptions", files={"file": ("a.flac", sound)})

    assert answer.status_code == 400
    assert "at most 2 s" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"file=x", "application/x-www-form-urlencoded", 415),
        (b"", "", 415),
        (b"", "multipart/form-data", 400),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 400),
        (b"nonsense", "multipart/form-data; boundary=b", 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
         "multipart/form-data; boundary=b", 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut',
         "multipart/form-data; boundary=b", 400),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_with_a_file_is_refused(
    body: bytes, kind: str, status: int, small: TestClient
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = small.post("/v1/audio/transcriptions", content=body, headers=headers)

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_one_file_too_many_is_asked_to_retry() -> None:
    transcriber = StuckTranscriber()
    url = "/v1/audio/transcriptions"
    with served(transcriber, ServiceArgs(limits=Limits(files=1))) as address:
        with sent(address, as_sent({}, speech())):
            assert transcriber.asked.wait(30)
            answer = httpx2.post(address + url, files={"file": ("a.ogg", speech())}, timeout=30)
        assert transcriber.left.wait(30)
        refused = httpx2.post(address + url, files={"file": ("a.ogg", b"no sound")}, timeout=30)

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert refused.status_code == 400  # the slot is free again


def test_bodies_that_do_not_end_block_no_other_upload() -> None:
    """A slot is for a file that has been received; 16 slow clients used to hold all of them."""
    url = "/v1/audio/transcriptions"
    limits = Limits(files=1, uploads=2)
    with served(StuckTranscriber(), ServiceArgs(limits=limits)) as address, sent(address, unended()):
        answer = httpx2.post(address + url, files={"file": ("a.ogg", b"no sound")}, timeout=30)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_file"


def test_one_upload_too_many_is_asked_to_retry() -> None:
    url = "/v1/audio/transcriptions"
    limits = Limits(uploads=1)
    with served(StuckTranscriber(), ServiceArgs(limits=limits)) as address, sent(address, unended()):
        until(lambda: refused(address + url))  # the other one may not have been heard yet


def refused(url: str) -> bool:
    answer = httpx2.post(url, files={"file": ("a.ogg", b"no sound")}, timeout=30)
    return answer.status_code == 429 and "at most 1 uploads at once" in answer.text


def test_files_share_the_memory_for_their_audio() -> None:
    url = "/v1/audio/transcriptions"
    seconds = len(decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])) / SAMPLE_RATE
    transcriber = StuckTranscriber()
    with served(transcriber, ServiceArgs(limits=Limits(decoded_s=1.5 * seconds))) as address:
        with sent(address, as_sent({}, speech())):
            assert transcriber.asked.wait(30)
            answer = httpx2.post(address + url, files={"file": ("a.ogg", speech())}, timeout=30)
        assert transcriber.left.wait(30)
        transcriber.asked.clear()
        with sent(address, as_sent({}, speech())):
            assert transcriber.asked.wait(30)  # the room is free again

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert "of audio in all files" in answer.json()["error"]["message"]


def test_the_threads_end_with_the_app() -> None:
    before = decoding_threads()
    with served(StuckTranscriber()) as address:
        httpx2.post(f"{address}/v1/audio/transcriptions", files={"file": ("a.ogg", b"no sound")})
        assert decoding_threads() > before

    assert decoding_threads() <= before


def test_a_full_service_is_an_error_in_the_answer_and_in_the_stream() -> None:
    with served(FullTranscriber()) as address, client_of(address) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            client.audio.transcriptions.create(model="small", file=("a.flac", speech()))
        with pytest.raises(openai.APIError, match="all are full"):
            list(client.audio.transcriptions.create(model="small", file=("a.flac", speech()), stream=True))

    assert raised.value.status_code == 503
    assert raised.value.response.headers["retry-after"] == "1"


@pytest.mark.parametrize("stream", ["false", "true"])
def test_work_stops_when_its_client_goes(stream: str) -> None:
    transcriber = StuckTranscriber()
    with served(transcriber) as address:
        with sent(address, as_sent({"stream": stream}, speech())):
            assert transcriber.asked.wait(30)
        assert transcriber.left.wait(30)


def test_what_is_awaited_for_a_client_that_is_gone_is_cancelled() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def play() -> None:
        with pytest.raises(ClientDisconnect):
            await while_connected(Request({"type": "http", "headers": []}, receive), work())
        assert ended.is_set()

    asyncio.run(play())


def test_the_page_and_the_schema_are_open_and_say_the_same(address: str) -> None:
    page = httpx2.get(f"{address}/docs")
    schema = httpx2.get(f"{address}/openapi.json").json()

    assert page.headers["content-type"].startswith("text/html")
    for path in schema["paths"]:
        assert path in page.text
    for name in schema["components"]["schemas"]["TranscriptionRequest"]["properties"]:
        assert f"<code>{name}</code>" in page.text
    assert "://" not in page.text.replace("http://localhost", "")


def test_the_page_s_own_policy_allows_its_style(address: str) -> None:
    page = httpx2.get(f"{address}/docs")
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"  # the app's other headers are kept
    assert "style=" not in page.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/audio/transcriptions", "POST"),
        ("DELETE", "/v1/models/small", "GET"),
        ("POST", "/v1/models", "GET"),
        ("GET", "/v1/nothing", None),
        ("POST", "/v1/chat/completions", None),
    ],
)
def test_what_does_not_exist_is_an_error_in_openai_s_shape(
    method: str, path: str, allowed: str | None, address: str
) -> None:
    answer = httpx2.request(method, f"{address}{path}", headers={"Authorization": f"Bearer {KEY}"})
    error = answer.json()["error"]

    assert (answer.status_code, error["code"]) == (
        (405, "method_not_allowed") if allowed else (404, "not_found")
    )
    assert error["message"].startswith("expected ")
    assert answer.headers.get("allow") == allowed


def decoding_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("voxray-files")}


def speech() -> bytes:
    return sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0].read_bytes()


def as_sent(fields: dict[str, str], sound: bytes) -> bytes:
    request = httpx2.Request(
        "POST",
        "http://127.0.0.1/v1/audio/transcriptions",
        data=fields,
        files={"file": ("a.ogg", io.BytesIO(sound))},
    )
    head = "".join(f"{k}: {v}\r\n" for k, v in request.headers.items())
    return f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.read()


def unended() -> bytes:
    return as_sent({}, speech())[:-20]


@contextmanager
def sent(address: str, request: bytes) -> Iterator[None]:
    """A client that has sent `request`, and goes without an answer at the end of the context."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        yield
