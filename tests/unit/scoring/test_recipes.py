"""The score and export jobs, from config to result, on the small model and its clips."""

import json
import wave
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray import job
from voxray.errors import ConfigError, CorpusError, OutputError
from voxray.recipes import export as export_recipe
from voxray.recipes import score as score_recipe
from voxray.recipes.export import ExportConfig, check_set
from voxray.recipes.score import ScoreConfig, known_parameters, weights_in


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three clips in a folder of their own."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for clip in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:3]:
        (folder / clip.name).write_bytes(clip.read_bytes())
        (folder / clip.with_suffix(".txt").name).write_text(clip.with_suffix(".txt").read_text())
    return folder


def test_score_ends_in_one_line_of_json_and_leaves_a_report(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert (
        job.main("doc", ScoreConfig, score_recipe.run, [f"corpus={corpus}", "split=null", f"out={out}"]) == 0
    )
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    scores = json.loads((out / "scores.json").read_text())
    edits = result["substitutions"] + result["deletions"] + result["insertions"]
    assert result == json.loads((out / "result.json").read_text())
    assert result["clips"] == len(scores["per_clip"]) == 3
    assert result["wer"] == round(100 * edits / result["words"], 2)
    assert result["wer_low"] <= result["wer"] <= result["wer_high"]
    assert result["rtfx"] > 0
    assert (out / "report.html").read_text().startswith("<!doctype html>")


def test_the_oracle_can_be_scored_and_its_decoder_is_not_timed(corpus: Path, tmp_path: Path) -> None:
    config = ScoreConfig(
        corpus=str(corpus), split=None, out=tmp_path / "out", engine="transformers", compute_type="float32"
    )
    assert score_recipe.run(config)["clips"] == 3
    html = (tmp_path / "out" / "report.html").read_text()
    assert "transformers" in html
    assert "<td>\u2013</td></tr>" in html


def test_the_oracle_refuses_integers(corpus: Path, tmp_path: Path) -> None:
    config = ScoreConfig(
        corpus=str(corpus), split=None, out=tmp_path / "out", engine="transformers", compute_type="int8"
    )
    with pytest.raises(ConfigError, match=r"expected a float type .* got compute_type=int8"):
        score_recipe.run(config)
    assert not (tmp_path / "out").exists()


def test_a_result_is_not_overwritten_unasked(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("precious")
    with pytest.raises(OutputError, match="overwrite=true"):
        score_recipe.run(ScoreConfig(corpus=str(corpus), split=None, out=out))
    assert (out / "report.html").read_text() == "precious"


def test_a_corpus_without_texts_is_one_sentence(corpus: Path, tmp_path: Path) -> None:
    for text in corpus.glob("*.txt"):
        text.unlink()
    with pytest.raises(CorpusError, match="reference text"):
        score_recipe.run(ScoreConfig(corpus=str(corpus), split=None, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_bad_clip_is_listed_and_the_rest_is_scored(corpus: Path, tmp_path: Path) -> None:
    (corpus / "broken.wav").write_bytes(b"not audio")
    (corpus / "broken.txt").write_text("nobody knows")
    result = score_recipe.run(ScoreConfig(corpus=str(corpus), split=None, out=tmp_path / "out"))
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (result["clips"], result["rejected"]) == (3, 1)
    assert scores["rejected_clips"][0]["id"] == "broken"


def test_a_clip_over_30_s_is_cut_and_scored_as_one(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16_000 * 35))
    (tmp_path / "long.txt").write_text("hello")
    result = score_recipe.run(
        ScoreConfig(corpus=str(tmp_path), split=None, out=tmp_path / "out", language="en")
    )
    assert (result["clips"], result["words"], result["deletions"]) == (1, 1, 1)
    assert result["audio_s"] == 35.0


def test_parameters_are_read_from_the_weights_header() -> None:
    assert known_parameters(str(SMALL_MODEL), SMALL_MODEL_INT8) == weights_in(
        SMALL_MODEL / "model.safetensors"
    )
    assert 3_000_000 < weights_in(SMALL_MODEL / "model.safetensors") < 5_000_000


def test_export_gives_what_it_made(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "served"
    config = ExportConfig(out=out, corpus=str(corpus), split=None, tolerance=50, device="cpu")
    result = export_recipe.run(config)
    about = json.loads((out / "voxray.json").read_text())
    assert result["path"] == str(out)
    assert result["clips"] == 3
    assert result["min_window_s"] == about["min_window_s"]
    assert result["wer_to_source"] == round(100 * about["wer_to_source"], 2) <= 50
    score = score_recipe.run(
        ScoreConfig(model=str(out), corpus=str(corpus), split=None, out=tmp_path / "scored")
    )
    assert score["clips"] == 3
    assert known_parameters(str(out), out) == about["parameters"]


def test_the_check_set_is_spread_over_the_corpus_and_needs_no_texts(corpus: Path, tmp_path: Path) -> None:
    for text in corpus.glob("*.txt"):
        text.unlink()
    names = sorted(p.stem for p in corpus.glob("*.ogg"))

    def chosen(count: int) -> list[str]:
        config = ExportConfig(out=tmp_path / "out", corpus=str(corpus), split=None, max_clips=count)
        return [clip.id for clip in check_set(config)]

    assert chosen(9) == names
    assert chosen(2) == [names[0], names[1]]
    assert chosen(1) == [names[0]]
