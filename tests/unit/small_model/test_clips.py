import csv
from pathlib import Path

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS
from tests.small_model.synthesis.clips import (
    LENGTH_S,
    SPEAKERS,
    STRANGERS,
    BuiltIn,
    numbered_by_speaker,
    spoken_by,
    write_audio_folder,
)
from tests.small_model.synthesis.corpus import score_orders
from tests.small_model.synthesis.engines import Engines
from tests.small_model.synthesis.voices import HELD_OUT, KNOWN

from voxray.audio import SAMPLE_RATE, decode
from voxray.corpora.store import Clip
from voxray.errors import CorpusError, MissingDependency


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def clip(id: str, speaker: str = "espeak-en") -> Clip:
    pcm = (3000 * np.sin(np.arange(SAMPLE_RATE) / 10)).astype(np.int16)
    return Clip(id=id, pcm=pcm, text=f"Text {id}, spoken.", speaker=speaker)


def test_speakers_train_and_strangers_do_not() -> None:
    assert set(SPEAKERS) <= set(KNOWN)
    assert set(STRANGERS) <= set(HELD_OUT)


def test_numbers_count_each_speaker() -> None:
    clips = [clip("x", "a"), clip("y", "b"), clip("z", "a")]
    assert [c.id for c in numbered_by_speaker(clips)] == ["a-0000", "b-0000", "a-0001"]


def test_audio_folder_reads_back(tmp_path: Path) -> None:
    write_audio_folder(tmp_path, BuiltIn(train=(clip("a-0000"), clip("a-0001")), score=(clip("b-0000"),)))
    rows = table(tmp_path, "train_files.csv")
    assert [row["uid"] for row in rows] == ["a-0000", "a-0001"]
    assert rows[0]["text"] == "Text a-0000, spoken."
    assert (tmp_path / "a-0000.txt").read_text() == "Text a-0000, spoken.\n"
    assert len(decode(tmp_path / rows[0]["file_name"])) / SAMPLE_RATE == pytest.approx(1.0, abs=0.05)


def test_spoken_texts_are_new_and_of_fitting_length() -> None:
    once = score_orders()[:12]
    try:
        with Engines() as engines:
            clips = list(spoken_by(SPEAKERS[:4], [*once, *once], engines))
    except MissingDependency as e:
        pytest.skip(str(e))
    assert len({c.text for c in clips}) == 4
    assert all(LENGTH_S[0] <= c.duration_s <= LENGTH_S[1] for c in clips)


def test_running_out_of_texts_is_an_error() -> None:
    with Engines() as engines, pytest.raises(CorpusError, match="none is left"):
        list(spoken_by(SPEAKERS[:1], [], engines))


def test_train_and_test_share_no_sentence_and_two_strangers_are_only_scored() -> None:
    train, score = table(SMALL_MODEL_CLIPS, "train_files.csv"), table(SMALL_MODEL_CLIPS, "test_files.csv")
    assert (len(train), len(score)) == (320, 40)
    assert not {row["text"] for row in train} & {row["text"] for row in score}
    speakers = [{row["uid"].rpartition("-")[0] for row in side} for side in (train, score)]
    assert speakers[1] - speakers[0] == {voice.id for voice in STRANGERS}


def test_clips_are_whole_and_small() -> None:
    rows = table(SMALL_MODEL_CLIPS, "train_files.csv") + table(SMALL_MODEL_CLIPS, "test_files.csv")
    assert all((SMALL_MODEL_CLIPS / row["file_name"]).is_file() for row in rows)
    assert all((SMALL_MODEL_CLIPS / f"{row['uid']}.txt").read_text().strip() == row["text"] for row in rows)
    assert sum(path.stat().st_size for path in SMALL_MODEL_CLIPS.iterdir()) < 4_000_000
