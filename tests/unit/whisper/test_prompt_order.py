"""The order of ids in which a forced prefix is decoded in one pass: the same words, in fewer steps."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL, SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import Pcm, decode
from voxray.errors import ModelError
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.ctranslate2_binary import read_variables
from voxray.whisper.decoding import AudioWindow, Decoded
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.export import convert
from voxray.whisper.model_info import ModelInfo
from voxray.whisper.prompt_order import reorderable, served_folder, start_first
from voxray.whisper.tokens import Tokens

WINDOW_S = 6.0
OPTIONS = DecodingOptions(language="en")


@pytest.fixture(scope="module")
def ordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with <|startoftranscript|> first."""
    return start_first(SMALL_MODEL_INT8, tmp_path_factory.mktemp("ordered") / "model")


@pytest.fixture(scope="module")
def engines(ordered: Path) -> tuple[CTranslate2Engine, CTranslate2Engine]:
    """The small model in the usual order and in the other, in float32: the same sums, whatever the batch."""
    plain, other = (
        CTranslate2Engine(f, device="cpu", compute_type="float32") for f in (SMALL_MODEL_INT8, ordered)
    )
    return plain, other


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    return [decode(file) for file in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:6]]


def decoded(
    engine: CTranslate2Engine, clips: list[Pcm], prefixes: list[str], previous: str = ""
) -> list[Decoded]:
    windows = [
        AudioWindow(
            clip,
            "en",
            previous=tuple(engine.tokens.encode(previous)),
            prefix=tuple(engine.tokens.encode(prefix)) if prefix else (),
            words=True,
        )
        for clip, prefix in zip(clips, prefixes, strict=True)
    ]
    states = engine.encode(clips, WINDOW_S)
    return engine.decoder.decode(windows, states, WINDOW_S, OPTIONS)


def test_each_token_keeps_its_text_and_its_row_of_weights(ordered: Path) -> None:
    before, after = Tokens.load(SMALL_MODEL_INT8), Tokens.load(ordered)
    rows = [read_variables(f / "model.bin")["decoder/embeddings/weight"] for f in (SMALL_MODEL_INT8, ordered)]
    count = before.tokenizer.get_vocab_size(with_added_tokens=True)

    assert (before.start_first, after.start_first) == (False, True)
    assert after.multilingual == before.multilingual
    for old in range(count):
        text = str(before.tokenizer.id_to_token(old))
        new = after.tokenizer.token_to_id(text)
        assert new == (0 if old == before.start else old + (old < before.start)), text
        assert np.array_equal(rows[0][old], rows[1][new]), text
    assert after.timestamp(1.0) == before.timestamp(1.0)
    assert after.decode(after.encode(" one two three")) == " one two three"


@pytest.mark.parametrize("previous", ["", "<|startofprev|> seven eight"], ids=["plain", "with context"])
def test_texts_after_a_prefix_are_those_of_the_usual_order(
    engines: tuple[CTranslate2Engine, CTranslate2Engine], clips: list[Pcm], previous: str
) -> None:
    plain, other = engines
    texts = [d.text for d in decoded(plain, clips, [""] * len(clips))]
    prefixes = [" ".join(text.split(" ")[: 1 + k % 4]) if k % 3 else "" for k, text in enumerate(texts)]
    assert len({len(plain.tokens.encode(p)) for p in prefixes}) > 2  # prompts of several lengths in a batch

    for a, b in zip(
        decoded(plain, clips, prefixes, previous), decoded(other, clips, prefixes, previous), strict=True
    ):
        assert (b.text, b.truncated) == (a.text, a.truncated)
        assert [(w.text, w.start_s, w.end_s) for w in b.words or ()] == [
            (w.text, w.start_s, w.end_s) for w in a.words or ()
        ]
        assert b.avg_logprob == pytest.approx(a.avg_logprob, abs=1e-3)
        assert b.no_speech_prob == pytest.approx(a.no_speech_prob, abs=1e-4)
        assert len(b.ids) == len(a.ids)


def test_a_text_after_a_prefix_ends_at_its_limit(
    engines: tuple[CTranslate2Engine, CTranslate2Engine], clips: list[Pcm]
) -> None:
    for engine in engines:
        text = decoded(engine, clips[:1], [""])[0].text
        prefix = tuple(engine.tokens.encode(" ".join(text.split(" ")[:2])))
        window = AudioWindow(clips[0], "en", prefix=prefix)
        limited = OPTIONS.model_copy(update={"max_new_tokens": 1})
        states = engine.encode(clips[:1], WINDOW_S)
        (result,) = engine.decoder.decode([window], states, WINDOW_S, limited)
        assert result.truncated
        assert len(result.ids) == len(prefix) + 1


def test_a_model_for_short_windows_is_served_in_this_order_and_another_as_it_is(tmp_path: Path) -> None:
    served = served_folder(SMALL_MODEL_INT8, tmp_path / "served")
    assert Tokens.load(served).start_first
    assert ModelInfo.load(served).min_window_s == ModelInfo.load(SMALL_MODEL_INT8).min_window_s

    long = shutil.copytree(SMALL_MODEL_INT8, tmp_path / "long")
    (long / "voxray.json").write_text(json.dumps({"min_window_s": 30.0}))
    assert served_folder(long, tmp_path / "unused") == long


def test_weights_that_numpy_cannot_write_stay_in_the_usual_order(tmp_path: Path) -> None:
    folder = convert(SMALL_MODEL, tmp_path / "bfloat16", "bfloat16")
    shutil.copy(SMALL_MODEL_INT8 / "voxray.json", folder)

    assert reorderable(SMALL_MODEL_INT8)
    assert not reorderable(folder)
    assert served_folder(folder, tmp_path / "unused") == folder


def test_a_folder_without_a_list_of_tokens_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(SMALL_MODEL_INT8, tmp_path / "model")
    for file in folder.glob("vocabulary.*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"expected vocabulary\.txt or vocabulary\.json, got neither"):
        start_first(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
