import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.small_model import SMALL_MODEL

from voxray.audio import SAMPLE_RATE, encode
from voxray.corpora.items import Rejected
from voxray.corpora.store import ClipStore
from voxray.errors import ConfigError, CorpusError
from voxray.recipes import finetune
from voxray.recipes.finetune import FinetuneConfig
from voxray.recipes.learning import languages_after
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.tokens import Tokens


def config(corpus: Path, **options: Any) -> FinetuneConfig:
    return FinetuneConfig.model_validate({"corpus": str(corpus), "out": corpus / "out", **options})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder, as far as its windows are concerned: it passed 4 s."""
    (tmp_path / "voxray.json").write_text(json.dumps({"min_window_s": 4.0}))
    return tmp_path


def test_a_decoder_alone_is_given_no_window_that_the_encoder_did_not_pass(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"smallest_window_s=2: expected at least 4,.*add train=all"):
        finetune._smallest_window_s(config(model, train="decoder", smallest_window_s=2), model)
    assert finetune._smallest_window_s(config(model, train="decoder", smallest_window_s=6), model) == 6


@pytest.mark.parametrize("part", ["encoder", "all"])
def test_an_encoder_in_training_learns_shorter_windows(part: str, model: Path) -> None:
    assert finetune._smallest_window_s(config(model, train=part, smallest_window_s=2), model) == 2
    assert finetune._smallest_window_s(config(model, train=part), model) == 4


@pytest.mark.parametrize(
    ("part", "encoder", "decoder"),
    [
        *(("encoder", False, True), ("decoder", True, False), ("all", False, False)),
        *(("lora", False, False), ("dora", False, False)),
    ],
)
def test_what_is_not_trained_is_frozen(part: str, encoder: bool, decoder: bool, tmp_path: Path) -> None:
    objective = finetune._run_options(config(tmp_path, train=part), 4.0).objective
    assert (objective.freeze_encoder, objective.freeze_decoder) == (encoder, decoder)
    assert (objective.ce_weight, objective.kl_weight) == (1.0, 0.0)


def test_adapters_have_a_rate_of_their_own_and_no_average(tmp_path: Path) -> None:
    for part in ("lora", "dora"):
        options = finetune._run_options(config(tmp_path, train=part), 4.0)
        assert options.lora is not None
        assert (options.dora, options.loop.learning_rate) == (part == "dora", 1e-3)
        with pytest.raises(ValidationError, match=f"expected ema_decay=0 with train={part}, got 0.9"):
            config(tmp_path, train=part, ema_decay=0.9)
    assert config(tmp_path, train="lora", learning_rate=2e-4).learning_rate == 2e-4
    assert finetune._run_options(config(tmp_path), 4.0).lora is None


def write_corpus(folder: Path, seconds: dict[str, float]) -> Path:
    """A tone and a text for each split, `seconds` long."""
    folder.mkdir()
    for split, length_s in seconds.items():
        tone = np.full(int(length_s * SAMPLE_RATE), 500, dtype=np.int16)
        (folder / f"{split}.flac").write_bytes(encode(tone))
        (folder / f"{split}.txt").write_text(f"words of {split}")
        (folder / f"{split}_files.csv").write_text(f"uid,file_name\n{split},{split}.flac\n")
    return folder


def stored(its: FinetuneConfig) -> tuple[dict[str, list[str]], list[Rejected]]:
    """Write the stores of a run; return the texts in each and what was rejected."""
    its.out.mkdir(exist_ok=True)
    rejected = finetune.write_stores(its, finetune.list_splits(its), Tokens.load(SMALL_MODEL))
    places = sorted(p.parent for p in its.out.rglob("clips.parquet"))
    return {p.name: [c.text for c in ClipStore([p])] for p in places}, rejected


def test_each_split_has_a_store_and_none_is_written_twice(tmp_path: Path) -> None:
    its = config(write_corpus(tmp_path / "corpus", {"train": 1, "dev": 1, "test": 31}))
    texts, rejected = stored(its)
    assert texts == {"clips-dev": ["words of dev"], "clips-test": [], "clips-train": ["words of train"]}
    assert ["expected a clip of at most 30 s, got 31" in r.reason for r in rejected] == [True]
    (tmp_path / "corpus" / "train.flac").write_bytes(b"what a resumed run does not read")
    assert stored(its) == (texts, rejected)


def test_corpora_with_weights_have_a_store_each(tmp_path: Path) -> None:
    first, second = (write_corpus(tmp_path / name, {"train": 1, "dev": 1, "test": 31}) for name in ("a", "b"))
    both: dict[str, Any] = {"corpus": f"{first}+{second}", "out": tmp_path / "out"}
    its = FinetuneConfig.model_validate({**both, "weights": [0.7, 0.3]})
    texts, rejected = stored(its)
    options = finetune._run_options(its, 4.0)
    assert options.train == (its.out / "clips-train" / "0", its.out / "clips-train" / "1")
    assert options.weights == (0.7, 0.3)
    assert [len(ClipStore([place])) for place in options.train] == [1, 1]
    assert texts["clips-dev"] == ["words of dev"] * 2
    assert [r.id for r in rejected] == ["a/test", "b/test"]
    for wrong, problem in (([1.0], "expected 2 weights"), ([0.7, 0.7], "weights that sum to 1, got 1.4")):
        with pytest.raises(ValidationError, match=problem):
            FinetuneConfig.model_validate({**both, "weights": wrong})


def test_a_corpus_needs_no_test_split(tmp_path: Path) -> None:
    its = config(write_corpus(tmp_path / "corpus", {"train": 1, "dev": 1}))
    assert stored(its) == ({"clips-dev": ["words of dev"], "clips-train": ["words of train"]}, [])
    assert finetune._test_wer(its, 4.0, its.out) == {"wer_test_before": None, "wer_test": None}


def test_a_corpus_needs_a_dev_split(tmp_path: Path) -> None:
    its = config(write_corpus(tmp_path / "corpus", {"train": 1, "test": 1}))
    with pytest.raises(CorpusError, match="expected clips in 'dev', got train 1, test 1"):
        finetune.run(its)
    assert not its.out.exists()


def test_dev_clips_may_be_of_a_corpus_of_their_own(tmp_path: Path) -> None:
    others = write_corpus(tmp_path / "others", {"train": 1, "test": 1})
    corpus = write_corpus(tmp_path / "corpus", {"train": 1})
    its = config(corpus, dev_corpus=str(others))
    assert stored(its)[0]["clips-dev"] == ["words of test", "words of train"]
    of_test = config(corpus, dev_corpus=str(others), dev_split="test", out=tmp_path / "of-test")
    assert stored(of_test)[0]["clips-dev"] == ["words of test"]


def test_a_clip_over_30_s_cannot_be_trained_on(tmp_path: Path) -> None:
    its = config(write_corpus(tmp_path / "corpus", {"train": 31, "dev": 1}))
    with pytest.raises(CorpusError, match=r"in 'train', got none .* at most 30 s, got 31"):
        stored(its)
    assert not (its.out / "clips-train").exists()


@pytest.mark.parametrize("text", ["seven " * 600, "ငါးဆယ့်ရှစ် " * 60, "打开厨房的灯" * 120])
def test_a_text_longer_than_the_decoder_is_rejected_and_counted(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    its = config(write_corpus(tmp_path / "corpus", {"train": 25, "dev": 1, "test": 25}))
    (tmp_path / "corpus" / "test.txt").write_text(text)

    texts, [rejected] = stored(its)
    assert texts["clips-test"] == []
    assert (rejected.id, rejected.split) == ("test", "test")
    assert rejected.reason.startswith("test: expected a text of at most 443 tokens")
    assert "test: expected a text of at most 443 tokens" in capsys.readouterr().err


def test_a_model_without_tokens_for_languages_has_those_of_its_clips(tmp_path: Path) -> None:
    english_only = shutil.copytree(SMALL_MODEL, tmp_path / "english-only")
    generation = json.loads((english_only / "generation_config.json").read_text())
    generation["is_multilingual"] = False
    (english_only / "generation_config.json").write_text(json.dumps(generation))
    assert languages_after(english_only, ["es", "fr", "fr"]) == ("fr", "es")
    assert languages_after(SMALL_MODEL, ["fr"]) == ModelInfo.load(SMALL_MODEL).languages
