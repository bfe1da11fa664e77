"""Data sets of the hub by their names, from a hub on a socket of this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfFileSystem, constants
from tests.fake_datasets import serving

from voxray.audio import encode
from voxray.corpora.sources import list_corpus, load_clips
from voxray.errors import CorpusError

PARQUET = "refs/convert/parquet"
SPLITS = ("train", "validation", "test")


def parquet(first: int) -> bytes:
    """Two rows as the hub converts them; clip k has 160 + k samples."""
    audio = [{"bytes": encode(np.ones(160 + k, np.int16)), "path": f"{k}.flac"} for k in (first, first + 1)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    sink = pa.BufferOutputStream()
    texts = [f"text {k}" for k in (first, first + 1)]
    pq.write_table(pa.table({"audio": pa.array(audio, kind), "sentence": texts}), sink)
    return bytes(sink.getvalue())


def splits(configuration: str, first: int = 0, part: str = "") -> dict[str, bytes]:
    return {
        f"{configuration}/{part}{split}/0000.parquet": parquet(first + 2 * k)
        for k, split in enumerate(SPLITS)
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    both = {**splits("en"), **splits("fr", 10)}
    repositories = {
        "team/voices": {PARQUET: both, "main": {"README.md": b"", "prepare.py": b""}},
        "team/calls": {PARQUET: splits("default", part="partial-"), "main": {}},
        "team/plain": {"main": splits("en", 20)},
    }
    with serving(repositories) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        HfFileSystem.clear_instance_cache()
        yield
        HfFileSystem.clear_instance_cache()


@pytest.mark.usefixtures("hub")
def test_a_name_with_its_configuration_is_read_split_by_split() -> None:
    clips, rejected = load_clips("team/voices:fr", "dev")
    assert [(c.id, c.text, len(c.pcm)) for c in clips] == [
        ("validation/0000/0", "text 12", 172),
        ("validation/0000/1", "text 13", 173),
    ]
    assert rejected == []


@pytest.mark.usefixtures("hub")
def test_data_sets_are_joined_like_other_corpora(capsys: pytest.CaptureFixture[str]) -> None:
    listing = list_corpus("team/voices:en+team/plain:en+team/calls", "train")
    assert [i.text for i in listing.items] == ["text 0", "text 1", "text 20", "text 21", "text 0", "text 1"]
    assert len({i.id for i in listing.items}) == 6
    assert capsys.readouterr().err == (
        "team/calls: the hub converted only its first part to parquet, which is what is read; "
        "hf://datasets/team/calls is all of its own files.\n"
    )


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("team/voices", "expected a configuration too, as team/voices:en, got none of en, fr."),
        ("team/voices:de", "expected a configuration of team/voices (en, fr), got 'de'."),
        ("team/nothing", "got no folder of that name here and no data set of it on the hub."),
    ],
)
def test_a_name_that_is_none_ends_in_a_sentence(name: str, problem: str) -> None:
    with pytest.raises(CorpusError) as caught:
        list_corpus(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert str(caught.value).endswith(problem)


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CorpusError, match=r"^team/voices: .* the hub did not say whether it has"):
        list_corpus("team/voices")


def test_a_folder_of_that_name_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "team" / "voices"
    folder.mkdir(parents=True)
    (folder / "a.flac").write_bytes(encode(np.ones(160, np.int16)))
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"need_text": False}
    assert [i.id for i in list_corpus("team/voices", **options).items] == ["a"]
