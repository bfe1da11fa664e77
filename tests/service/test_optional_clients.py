"""Clients that need too much to be installed with the others: each runs where it can be imported.

`pip install --no-deps whisper-live pyaudio websocket-client` and `pip install "pipecat-ai[deepgram]"`, the
latter into a folder at the end of the path.
"""

import asyncio
import wave
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks.recordings import Recording
from tests.service.local import LocalService
from tests.service.speaking import beginning, speak

from voxray.audio import SAMPLE_RATE
from voxray.text import word_errors

LENGTH_S = 20.0
LIMIT_S = 30.0
FRAME_S = 0.1

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours to mend


def imported(name: str) -> Any:
    """A module of a client, or a skip."""
    reason = f"{name.partition('.')[0]} is not installed: see the module's docstring"
    return pytest.importorskip(name, reason=reason, exc_type=ImportError)


@pytest.fixture(scope="module")
def ours(service: LocalService, recording: Recording) -> str:
    """What our own client is told."""
    return asyncio.run(speak(service.url, recording.pcm.tobytes(), frame_s=0)).text


def test_the_streaming_client_of_whisper_live(service: LocalService, recording: Recording, ours: str) -> None:
    partials = list[str]()
    live = imported("whisper_live.client").StreamingTranscriptionClient(
        "127.0.0.1",
        service.port,
        lang="en",
        on_partial_transcript=lambda text, _: partials.append(text),
    )
    frame = round(FRAME_S * SAMPLE_RATE)
    with live:
        for at in range(0, len(recording.pcm), frame):
            live.send(recording.pcm[at : at + frame].tobytes())

    assert " ".join(segment["text"].strip() for segment in live.transcript) == ours
    assert partials


def test_the_file_client_of_whisper_live(
    service: LocalService, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It plays the file in real time, and waits for 15 s after its end."""
    monkeypatch.chdir(tmp_path)  # where it resamples the file to
    short = beginning(recording, 8.0)
    pcm = short.pcm[: round(short.utterances[-1].end_s * SAMPLE_RATE)]  # no silence ends the last utterance
    with wave.open(str(tmp_path / "short.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(pcm.tobytes())
    client = imported("whisper_live.client").TranscriptionClient(
        "127.0.0.1",
        service.port,
        lang="en",
        mute_audio_playback=True,
        output_transcription_path=str(tmp_path / "out.srt"),
    )
    text = client(str(tmp_path / "short.wav"))

    ours = asyncio.run(speak(service.url, pcm.tobytes(), frame_s=0))
    assert text == ours.text
    assert (tmp_path / "out.srt").read_text().count("-->") == len(ours.finals)


@pytest.mark.parametrize("speaks", ["deepgram", "openai"])
def test_pipecat(service: LocalService, recording: Recording, ours: str, speaks: str) -> None:
    text = asyncio.run(by_pipecat(speaks, service, recording, len(ours.split())))

    assert word_errors(ours, text).rate <= 0.1  # its end of turn and its sampling rate are others


def stt_of(speaks: str, service: LocalService) -> Any:
    """Pipecat's service for one of the two protocols."""
    module = imported(f"pipecat.services.{speaks}.stt")
    if speaks == "deepgram":
        return module.DeepgramSTTService(api_key="any", base_url=service.http)
    url = service.http.replace("http", "ws", 1) + "/v1/realtime"
    turns = {"type": "server_vad", "silence_duration_ms": 600}
    return module.OpenAIRealtimeSTTService(api_key="any", base_url=url, turn_detection=turns)


async def by_pipecat(speaks: str, service: LocalService, recording: Recording, words: int) -> str:
    """The transcript of a pipeline that is a service alone, once it has so many words."""
    frames, workers = imported("pipecat.frames.frames"), imported("pipecat.pipeline.worker")
    pipeline = imported("pipecat.pipeline.pipeline").Pipeline([stt_of(speaks, service)])
    params = workers.PipelineParams(audio_in_sample_rate=SAMPLE_RATE)
    worker = workers.PipelineWorker(pipeline, params=params, enable_rtvi=False)
    worker.set_reached_downstream_filter((frames.TranscriptionFrame,))
    texts, changed, started = list[str](), asyncio.Event(), asyncio.Event()

    async def note(_worker: Any, frame: Any) -> None:
        texts.append(frame.text)
        changed.set()

    async def begin(_worker: Any, _frame: Any) -> None:
        started.set()

    worker.add_event_handler("on_frame_reached_downstream", note)
    worker.add_event_handler("on_pipeline_started", begin)

    async def play() -> None:
        await started.wait()
        frame = round(FRAME_S * SAMPLE_RATE)
        for at in range(0, len(recording.pcm), frame):
            audio = recording.pcm[at : at + frame].tobytes()
            await worker.queue_frame(frames.InputAudioRawFrame(audio, SAMPLE_RATE, 1))
        while len(" ".join(texts).split()) < words:
            changed.clear()
            await changed.wait()

    runner = imported("pipecat.workers.runner").WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            await play()
    finally:
        await worker.queue_frame(frames.EndFrame())
        await running
    return " ".join(texts)
