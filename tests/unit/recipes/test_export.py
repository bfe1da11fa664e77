"""An export has a card and a voxray.json that say what is known of it, in each format."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS
from transformers import pipeline

from voxray.audio import decode, to_float
from voxray.config import load
from voxray.corpora.store import Clip, write_store
from voxray.errors import ConfigError, ExportError
from voxray.recipes.export import ExportConfig, run
from voxray.recipes.model_card import base_model, write_card
from voxray.whisper.digest import sha256_of
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.registry import ggml_files

CLIPS = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:4]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for clip in CLIPS:
        shutil.copy(clip, folder)
        shutil.copy(clip.with_suffix(".txt"), folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a finished run of distil leaves it, its labels gone."""
    run = tmp_path_factory.mktemp("runs") / "student"
    shutil.copytree(SMALL_MODEL, run / "model")
    (run / "model" / "README.md").unlink()
    options = {"labelled": ["runs/labels"], "teacher": "tiny.en", "wer_threshold": 10.0, "normaliser": "auto"}
    (run / "config.json").write_text(json.dumps(options))
    (run / "result.json").write_text(json.dumps({"wer_student": 4.25, "model": "runs/student/model"}))
    write_store(run / "clips-train", [Clip("a", decode(CLIPS[0]), "yes")])
    return run / "model"


def exported(out: Path, model: Path | str, corpus: Path | str, *words: str) -> dict[str, Any]:
    given = {"model": str(model), "corpus": str(corpus), "out": str(out), "device": "cpu"}
    return run(load(ExportConfig, given, words))


def test_the_card_says_what_the_run_and_the_export_know(model: Path, corpus: Path, tmp_path: Path) -> None:
    exported(tmp_path / "out", model, corpus, "split=null", "license=mit")
    card: Any = ModelCard.load(tmp_path / "out" / "README.md")
    info = ModelInfo.load(tmp_path / "out")
    store = model.parent / "clips-train" / "clips.parquet"
    data = card.data.to_dict()

    assert data["language"] == ["en"]
    assert data["license"] == "mit"
    assert data["base_model"] == "Systran/faster-whisper-tiny.en"
    assert data["pipeline_tag"] == "automatic-speech-recognition"
    assert data["tags"] == ["whisper", "voxray", "ctranslate2"]
    assert info.score is not None
    assert info.score.clips == len(CLIPS)
    assert info.score.low <= info.score.rate <= info.score.high
    for text in (
        "Recipe: distil",
        "Teacher or start: tiny.en",
        "Corpora: `runs/labels`",
        f"Clips trained on: 1 (SHA-256 of their table {sha256_of(store)})",
        "WER threshold of labels: 10.0",
        "wer_student: 4.25",
        f"| {corpus}, all splits | 4 | {100 * info.score.rate:.2f} |",
    ):
        assert text in card.content, text


def test_what_nobody_knows_is_called_unknown(tmp_path: Path) -> None:
    write_card(tmp_path, ModelInfo(), str(SMALL_MODEL), SMALL_MODEL)
    card: Any = ModelCard.load(tmp_path / "README.md")

    assert "Corpora: unknown" in card.content
    assert "Unknown; it depends on" in card.content
    assert card.data.license is None
    assert card.data.base_model is None


def test_transformers_opens_its_form_by_pipeline(model: Path, corpus: Path, tmp_path: Path) -> None:
    result = exported(tmp_path / "out", model, corpus, "split=null", "format=transformers")
    recogniser: Any = pipeline("automatic-speech-recognition", model=str(tmp_path / "out"), device="cpu")
    said = recogniser(to_float(decode(CLIPS[0])))["text"].strip()

    assert result["quantization"] == "float16"
    assert result["wer_to_source"] == 0.0
    assert said


def test_tiny_en_in_ggml_transcribes_as_its_source(assets: Path, tmp_path: Path) -> None:
    pytest.importorskip("pywhispercpp", reason="needs whisper.cpp: pip install pywhispercpp")
    result = exported(tmp_path / "out", "tiny.en", "builtin", "format=ggml", "max_clips=4")
    [file] = ggml_files(tmp_path / "out")

    assert file.name == "ggml-model-f16.bin"
    assert result["wer_to_source"] == 0.0
    assert result["min_window_s"] == 2.0
    assert ModelInfo.load(tmp_path / "out").format == "ggml"
    assert "whisper-cli -m ggml-model-f16.bin" in (tmp_path / "out" / "README.md").read_text()


def test_an_export_that_nothing_can_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pywhispercpp", None)  # as if it were not installed
    result = exported(tmp_path / "out", "tiny.en", "builtin", "format=ggml", "max_clips=1")

    assert result["wer_to_source"] is None
    assert "The export was not checked by running it" in capsys.readouterr().err
    assert "The export was not checked by running it." in (tmp_path / "out" / "README.md").read_text()


def test_a_vocabulary_that_whisper_cpp_cannot_load(model: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected OpenAI's vocabulary, whose special tokens"):
        exported(tmp_path / "out", model, corpus, "split=null", "format=ggml")
    assert not [*(tmp_path / "out").iterdir()]


def test_a_quantization_of_another_format() -> None:
    with pytest.raises(ConfigError) as caught:
        load(ExportConfig, {"out": "out"}, ["format=ggml", "quantization=int8"])
    assert str(caught.value) == (
        "command line: 'quantization': expected f16, q8_0 or q5_0 in this format, got 'int8'."
    )


def test_the_base_model_is_found_through_runs_that_are_here(model: Path) -> None:
    assert base_model(str(model)) == "Systran/faster-whisper-tiny.en"
    assert base_model("openai/whisper-tiny") == "openai/whisper-tiny"
    assert base_model(str(SMALL_MODEL)) is None
