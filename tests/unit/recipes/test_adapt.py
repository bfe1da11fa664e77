"""The whole of adapt with the small model on a minute of clips, and what it refuses."""

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from tests.small_model import SMALL_MODEL

from voxray.audio import SAMPLE_RATE
from voxray.config import load
from voxray.corpora.sources import list_corpus
from voxray.errors import CorpusError, LabellingError, OutputError
from voxray.recipes.adapt import AdaptConfig, run
from voxray.whisper.adapter import load_adapter
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions

QUICK = (
    *(f"model={SMALL_MODEL}", "passes=1", "max_minutes=0.1", "epochs=1", "max_dev_clips=2", "threads=1"),
    *("windows_per_corpus=8", "silences=4", "dev_silences=2"),
    "smallest_window_s=15",  # in silence on shorter windows the small model finds words
)
MINUTE_S = 62.0


def _config(corpus: Path, out: Path, *more: str) -> AdaptConfig:
    return load(AdaptConfig, None, [f"corpus={corpus}", f"out={out}", *QUICK, *more])


def _write_silence(file: Path, seconds: float) -> None:
    with av.open(str(file), "w") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, round(seconds * SAMPLE_RATE)), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus without texts: a minute of built-in clips to learn from, and two that judge."""
    folder = tmp_path_factory.mktemp("minute")
    items = {
        "train": list_corpus("builtin", "train").items[:32],
        "dev": list_corpus("builtin", "test").items[:2],
    }
    for split, chosen in items.items():
        files = [Path(shutil.copy(item.source, folder)) for item in chosen]
        rows = "".join(f"{file.stem},{file.name}\n" for file in files)
        (folder / f"{split}_files.csv").write_text(f"uid,file_name\n{rows}")
    return folder


def test_a_model_is_adapted_and_an_unfinished_run_goes_on(minute: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(_config(minute, out))

    assert result["steps"] >= 1
    page = Path(result["report"]).read_text()
    assert f"Adapting {SMALL_MODEL} to short windows on {minute}" in page
    assert "<dt>the model on 30 s</dt>" in page or "No clip has an error." in page
    assert page.count("<svg") == 3
    assert list((out / "tensorboard").glob("events.out.tfevents.*"))
    assert [score["window_s"] for score in result["after"]][-1] == 30.0
    assert all(score["wer"] is None for score in result["after"])
    adapter = load_adapter(out / "adapter")
    assert adapter.min_window_s == result["min_window_s"]
    assert (out / "adapter" / "adapter_model.safetensors").stat().st_size < 2_000_000
    engine = CTranslate2Engine(out / "ctranslate2", threads=1)
    assert engine.min_window_s == result["min_window_s"]
    assert engine.transcribe([np.zeros(SAMPLE_RATE, np.int16)], DecodingOptions())

    cached = sorted((out / "teacher").iterdir())
    written = [file.stat().st_mtime_ns for file in cached]
    again = run(_config(minute, out))  # as if it had been killed before its result was written

    assert [file.stat().st_mtime_ns for file in cached] == written
    assert again["steps"] == result["steps"]
    with pytest.raises(OutputError, match="expected the options of the unfinished run there, got others"):
        run(_config(minute, out, "learning_rate=1e-5"))
    (out / "result.json").write_text(json.dumps({}))
    with pytest.raises(OutputError, match="overwrite=true"):
        run(_config(minute, out))


def test_a_run_ends_at_the_first_check_that_passes(minute: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(minute, tmp_path / "with texts"))
    for item in list_corpus("builtin").items:
        if (corpus / Path(item.source).name).exists():
            shutil.copy(Path(item.source).with_suffix(".txt"), corpus)
    more = ("evaluate_every=1", "tolerance=1000", "max_minutes=5", "epochs=3", "learning_rate=1e-9")

    result = run(_config(corpus, tmp_path / "out", *more))

    assert result["passed"]
    assert result["steps"] == 1
    assert all(score["wer"] is not None for score in result["after"])


def test_less_than_a_minute_is_refused(minute: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.mkdir()
    for file in sorted(minute.glob("*.ogg"))[:3]:
        shutil.copy(file, short)

    with pytest.raises(CorpusError, match=r"expected at least 60 s of audio .* got \d+ s and \d+ clips"):
        run(_config(short, tmp_path / "out"))


def test_a_corpus_without_speech_ends_the_run(tmp_path: Path) -> None:
    corpus = tmp_path / "silence"
    corpus.mkdir()
    for i in range(5):
        _write_silence(corpus / f"silence-{i}.flac", MINUTE_S / 4)
    for split, names in (("train", range(4)), ("dev", range(4, 5))):
        rows = "".join(f"silence-{i},silence-{i}.flac\n" for i in names)
        (corpus / f"{split}_files.csv").write_text(f"uid,file_name\n{rows}")

    with pytest.raises(LabellingError, match=r"expected speech, got none in which .*model finds a word"):
        run(_config(corpus, tmp_path / "out", "windows.no_speech_probability=0"))
