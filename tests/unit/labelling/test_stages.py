"""The stages without Ray: bad files, batches that do not fit, clips that fail alone, and scores."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import Pcm, decode, encode
from voxray.corpora.items import Item
from voxray.corpora.labelled import SCHEMA
from voxray.errors import ConfigError, ModelError
from voxray.labelling.pieces import Piece, item_table, piece_table, pieces_of
from voxray.labelling.stages import LabelStage, labels_of, read_stage, transcribe
from voxray.labelling.teacher import TeacherConfig, binding
from voxray.transcript import Segment, Word
from voxray.whisper.engines import DecodingOptions, DecodingResult, Engine
from voxray.whisper.tokens import Tokens

OPTIONS = DecodingOptions()


@dataclass
class SmallEngine:
    """Holds `room` clips at a time; cannot stand those that are as loud as `bad`.

    The text of one that is as loud as `truncated` does not end; that of one as loud as `long` has 600 words.
    """

    room: int = 64
    bad: int = -1
    truncated: int = -1
    long: int = -1
    calls: list[int] = field(default_factory=list)
    tokens: Tokens = field(default_factory=lambda: Tokens.load(SMALL_MODEL_INT8))

    def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, languages: Sequence[str | None] = ()
    ) -> list[DecodingResult]:
        self.calls.append(len(clips))
        if len(clips) > self.room:
            raise RuntimeError("CUDA failed with error out of memory")
        if any(clip[0] == self.bad for clip in clips):
            raise ValueError("a bad clip")
        spoken = [language or "en" for language in languages]
        results = [
            decoding_result("loud " * 600 if c[0] == self.long else f"loud {c[0]}", language)
            for c, language in zip(clips, spoken, strict=True)
        ]
        return [replace(r, truncated=c[0] == self.truncated) for c, r in zip(clips, results, strict=True)]


@dataclass(frozen=True)
class Loaded:
    """An engine source whose engine is there already."""

    engine: Engine

    def load(self) -> Engine:
        return self.engine

    def digest(self) -> str:
        return "loaded"


def decoding_result(text: str, language: str = "en") -> DecodingResult:
    word = Word(text, 0.0, 0.5, 0.9)
    return DecodingResult(text, language, (1,), (Segment(0.0, 0.5, text),), (word,), -0.1, 0.02, 1.0)


def piece(name: str, loudness: int, **values: object) -> Piece:
    audio = np.full(8_000, loudness, "<i2").tobytes()
    known = {"item": name, "parts": 1, "source": f"/{name}", "id": name, "audio": audio}
    return Piece(**{**known, "split": "train", "recording": name, **values})  # type: ignore[arg-type]  # the values are the fields'


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    engine = SmallEngine(room=2)
    results = transcribe(engine, [piece(str(k), k) for k in range(7)], OPTIONS)
    assert [r.text for r in results if isinstance(r, DecodingResult)] == [f"loud {k}" for k in range(7)]
    assert engine.calls == [7, 3, 1, 2, 4, 2, 2]


def test_a_clip_that_fails_alone_is_rejected_with_its_reason_and_the_others_are_labelled() -> None:
    stage = LabelStage(Loaded(SmallEngine(bad=3)), OPTIONS)
    unread = piece("gone", 0, audio=b"", reason="it was not there")
    table = stage(piece_table([*(piece(str(k), k, text="loud 1") for k in range(5)), unread]))
    rows = {r["id"]: r for r in table.to_pylist()}
    assert [rows[str(k)]["pseudo_text"] for k in (0, 1, 2, 4)] == ["loud 0", "loud 1", "loud 2", "loud 4"]
    assert rows["3"]["reason"] == "/3: expected words, got a failure of the engine (ValueError: a bad clip)."
    assert (rows["gone"]["reason"], rows["gone"]["pseudo_text"]) == ("it was not there", None)
    assert set(SCHEMA.names) <= set(table.column_names)


def test_a_text_past_the_limit_of_tokens_is_rejected_with_its_reason() -> None:
    stage = LabelStage(Loaded(SmallEngine(truncated=3)), OPTIONS)
    rows = stage(piece_table([piece(str(k), k) for k in range(2, 5)])).to_pylist()

    assert [r["pseudo_text"] for r in rows] == ["loud 2", None, "loud 4"]
    assert [r["reason"] for r in rows] == [
        None,
        "/3: expected a text that ends, got one past the limit of tokens, or a loop.",
        None,
    ]
    assert rows[1]["audio"] == b""


def test_a_label_longer_than_the_decoder_is_rejected_with_its_reason() -> None:
    stage = LabelStage(Loaded(SmallEngine(long=3)), OPTIONS)
    rows = stage(piece_table([piece(str(k), k) for k in range(2, 5)])).to_pylist()

    assert [r["pseudo_text"] for r in rows] == ["loud 2", None, "loud 4"]
    assert "/3: expected a text of at most 443 tokens, the decoder, got " in rows[1]["reason"]
    assert rows[1]["audio"] == b""


def test_labels_are_scored_against_the_reference() -> None:
    labels = labels_of(piece("a", 1, text="Turn on the light."), decoding_result("turn off the light now"))
    assert labels.wer == 2 / 4
    assert labels.counts is not None
    assert (labels.counts.substitutions, labels.counts.insertions) == (1, 1)
    assert labels.chars_per_s == len("turn off the light now") / 0.5


def test_languages_without_spaces_count_characters() -> None:
    labels = labels_of(piece("a", 1, text="今日は晴れ", language="ja"), decoding_result("今日は雨", "ja"))
    assert labels.counts is not None
    assert (labels.counts.reference_length, labels.counts.errors) == (5, 2)
    assert labels.cer == 2 / 5


def test_translations_are_stored_with_their_task_and_scored_as_english() -> None:
    stage = LabelStage(Loaded(SmallEngine()), DecodingOptions(task="translate"))
    pieces = [piece("a", 7, language="ja", text="Loud, eight", task="translate")]
    (row,) = stage(piece_table(pieces)).to_pylist()
    assert (row["task"], row["language"], row["reference_length"], row["wer"]) == ("translate", "ja", 2, 0.5)


def test_a_reference_for_another_task_is_no_reference() -> None:
    labels = labels_of(piece("a", 1, text="x", task="transcribe"), decoding_result("y"), "translate")
    assert (labels.wer, labels.cer, labels.counts) == (None, None, None)


def test_without_a_reference_there_is_no_score_and_an_empty_one_has_no_rate() -> None:
    unknown, silent = (labels_of(piece("a", 1, text=t), decoding_result("thank you")) for t in (None, ""))
    assert (unknown.wer, unknown.cer, unknown.counts) == (None, None, None)
    assert (silent.wer, silent.cer) == (None, None)
    assert silent.counts is not None
    assert silent.counts.insertions == 2


def test_reading_gives_a_piece_for_every_item_good_or_bad(tmp_path: Path) -> None:
    (tmp_path / "good.flac").write_bytes(encode(np.ones(800, np.int16)))
    (tmp_path / "list.mp3").write_text("#EXTM3U\n/etc/passwd\n")
    names = ["good.flac", "list.mp3", "missing.wav"]
    items = [Item(n, str(tmp_path / n), "train") for n in names]
    found = [p for table in read_stage(item_table(items)) for p in pieces_of(table)]
    assert [p.id for p in found] == names
    assert [p.reason is None for p in found] == [True, False, False]
    assert all(str(tmp_path) in (p.reason or "") for p in found[1:])


def test_a_teacher_loads_and_transcribes() -> None:
    stage = LabelStage(TeacherConfig(name=str(SMALL_MODEL_INT8), threads=1), DecodingOptions(words=True))
    clip = decode(min(SMALL_MODEL_CLIPS.glob("*.ogg")))
    (row,) = stage(piece_table([piece("spoken", 0, audio=clip.tobytes())])).to_pylist()
    assert (row["reason"], row["wer"]) == (None, None)
    assert [w["text"] for w in row["words"]] == row["pseudo_text"].split() != []


def test_the_binding_changes_with_teacher_options_and_corpus() -> None:
    teacher = TeacherConfig()
    bound = binding(teacher, OPTIONS, "corpus")
    assert bound == binding(TeacherConfig(), DecodingOptions(), "corpus")
    others = {
        binding(TeacherConfig(dtype="float32"), OPTIONS, "corpus"),
        binding(teacher, DecodingOptions(beams=2), "corpus"),
        binding(teacher, OPTIONS, "other"),
    }
    assert len({bound, *others}) == 4


def test_a_teacher_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        TeacherConfig(name=str(tmp_path)).load()
    with pytest.raises(ConfigError, match="expected a float type for engine=transformers"):
        TeacherConfig(engine="transformers", dtype="int8").digest()
