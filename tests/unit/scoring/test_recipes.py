"""The score and export jobs, from config to result, on the small model and its clips."""

import json
import re
import shutil
import wave
from pathlib import Path

import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray import job
from voxray.errors import ConfigError, CorpusError, OutputError
from voxray.recipes import export as export_recipe
from voxray.recipes import score as score_recipe
from voxray.recipes.export import ExportConfig, check_set
from voxray.recipes.score import ScoreConfig
from voxray.recipes.score_models import known_parameters, weights_in


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
        corpus=str(corpus), split=None, out=tmp_path / "out", engine=("transformers",), compute_type="float32"
    )
    assert score_recipe.run(config)["clips"] == 3
    html = (tmp_path / "out" / "report.html").read_text()
    assert "transformers" in html
    assert "<td>\u2013</td></tr>" in html


def test_the_oracle_refuses_integers(corpus: Path, tmp_path: Path) -> None:
    config = ScoreConfig(
        corpus=str(corpus), split=None, out=tmp_path / "out", engine=("transformers",), compute_type="int8"
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


def score(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the job; return its last line on stdout, or its error."""
    status = job.main("doc", ScoreConfig, score_recipe.run, words)
    captured = capsys.readouterr()
    return captured.out.splitlines()[-1] if status == 0 else captured.err


def test_two_models_are_scored_side_by_side_on_every_suite(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = f"models=[{SMALL_MODEL_INT8},{SMALL_MODEL}]"
    words = (f"corpus={corpus}", "split=null", f"out={tmp_path / 'out'}", models, "suites=all")
    few = ("most_clips.noise=1", "most_clips.silence=2", "most_clips.live=2", "most_clips.speculative=1")
    result = json.loads(score(capsys, *words, *few))
    suites = result["suites"]
    names = [str(SMALL_MODEL_INT8), str(SMALL_MODEL)]
    assert list(result["models"]) == names
    assert result["comparisons"][0]["headline"] == result["headline"]
    assert set(suites) == {"noise", "telephone", "silence", "cut", "long", "live", "speculative"}
    assert all(list(found) == names for suite, found in suites.items() if suite != "speculative")
    assert all(found for suite in suites.values() for found in suite.values())
    assert list(suites["noise"][names[0]]["white"]) == [f"{snr} dB" for snr in range(40, -11, -5)]
    assert suites["long"][names[0]].keys() == {"chunked", "sequential", "cut at pauses"}
    assert result["seconds"].keys() == {"corpus", *suites}
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [len(scores["clips_by_model"][name]["per_clip"]) for name in names] == [3, 3]
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count('<p class="headline">') == 1
    assert html.count("In white noise") == 1


def test_one_model_has_its_suites_beside_the_values_it_always_had(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (f"model={SMALL_MODEL_INT8}", f"corpus={corpus}", "split=null", f"out={tmp_path / 'out'}")
    result = json.loads(score(capsys, *words, "suites=[telephone]"))
    assert {"wer", "cer", "clips", "rtfx", "rejected"} <= result.keys()
    assert "mu-law" in result["suites"]["telephone"][str(SMALL_MODEL_INT8)]
    assert '<p class="headline">' not in (tmp_path / "out" / "report.html").read_text()


def test_a_peer_is_scored_in_its_own_words(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = f"models=[{SMALL_MODEL_INT8},{SMALL_MODEL_INT8}]"
    engines = "engine=[ctranslate2,faster-whisper]"
    words = (f"corpus={corpus}", "split=null", f"out={tmp_path / 'out'}", models, engines)
    result = json.loads(score(capsys, *words, "suites=[long,live]"))
    own, peer = result["models"]
    assert (own, peer) == (f"{SMALL_MODEL_INT8}, ctranslate2", f"{SMALL_MODEL_INT8}, faster-whisper")
    assert result["suites"]["long"][peer].keys() == {"faster-whisper's own"}
    assert "CTranslate2" in result["suites"]["live"][peer]["note"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("suites=[noise,nosie]", "'suites.1': input should be 'corpus', 'noise', .*got 'nosie'"),
        ("models=[{model},{model}]", "expected each once, got .* twice"),
        ("models=[{model},{german}]", "expected models of the same languages, got .* for en and .* for none"),
        ("engine=[ctranslate2,transformers]", "expected one, or one for each of 1 models, got 2"),
        ("most_clips.noise=0", "'most_clips.noise'.*greater than or equal to 1"),
        ("suites=noise music={corpus}/none.mp3", "none.mp3"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_sentence_before_anything_is_computed(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    german = tmp_path / "german"
    shutil.copytree(SMALL_MODEL_INT8, german)
    (german / "voxray.json").write_text('{"languages": ["de"], "min_window_s": 2.0}')
    given = words.format(model=SMALL_MODEL_INT8, german=german, corpus=corpus).split()
    out = tmp_path / "out"
    said = score(capsys, f"model={SMALL_MODEL_INT8}", f"corpus={corpus}", "split=null", f"out={out}", *given)
    assert re.search(message, said)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not out.exists()


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
