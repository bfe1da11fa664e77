import io
import random
import stat
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving.trainings.archives import claiming, long_header, tar, zipped

from voxray.errors import CorpusError
from voxray.serving.trainings.archives import KEPT, ArchiveLimits, unpack

LIMITS = ArchiveLimits(members=20, unpacked_bytes=100 << 20)
MB = 1 << 20
NOISE = random.Random(0).randbytes(1000)


def unpacked(data: bytes, folder: Path, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
    """The files that `data` unpacks to, by their path in `folder`."""
    unpack(io.BytesIO(data), folder, limits)
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("pack", [tar, lambda files: tar(files, "w:"), zipped])
def test_an_audio_folder_comes_out_as_it_went_in(
    pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    files = {"mine/a.wav": NOISE, "mine/sub/B.FLAC": b"b", "./mine/train_files.csv": b"uid", "ä.txt": b""}

    found = unpacked(pack(files), tmp_path / "data")

    assert found == {name.removeprefix("./"): content for name, content in files.items()}


def test_a_folder_around_everything_is_left_out(tmp_path: Path) -> None:
    found = unpacked(tar({"all/mine/a/1.wav": b"1", "all/mine/train_files.csv": b"2"}), tmp_path / "data")

    assert found == {"a/1.wav": b"1", "train_files.csv": b"2"}


@pytest.mark.parametrize("pack", [tar, zipped])
def test_what_is_no_audio_text_or_table_is_left_out(
    pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    others = {"run.sh": b"#", "data.parquet": b"", "more.tar": b"", ".hidden.wav": b"", "__MACOSX/a.wav": b""}

    assert unpacked(pack({"a.wav": b"1", **others}), tmp_path / "data") == {"a.wav": b"1"}


@pytest.mark.parametrize(
    "name",
    [
        *("../a.wav", "/etc/a.wav", "a/../../a.wav", "..\\a.wav", "C:\\a.wav", "a\n.wav"),
        *("x/" * 17 + "a.wav", "x" * 250 + ".wav"),
    ],
)
@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_path_that_climbs_out_or_is_no_good_name_is_refused(
    name: str, pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="data: expected paths"):
        unpacked(pack({name: b"1"}), tmp_path / "data")
    assert [f.name for f in tmp_path.rglob("*")] == ["data"]


@pytest.mark.parametrize(
    "type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_a_tar_with_anything_but_plain_files_is_refused(type: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"data: expected (plain files and folders|paths inside)"):
        unpacked(tar({"a.wav": b""}, type=type, linkname="/etc/passwd"), tmp_path / "data")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_with_anything_but_plain_files_is_refused(kind: int, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"data: expected plain files and folders, got 'a\.wav'"):
        unpacked(zipped({"a.wav": b"/etc/passwd"}, kind=kind), tmp_path / "data")


@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_bomb_is_refused_before_it_is_written(
    pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    bomb = pack({"a.wav": bytes(40 * MB)})

    with pytest.raises(CorpusError, match="data: expected an archive that unpacks to at most 100 times"):
        unpacked(bomb, tmp_path / "data")
    assert (tmp_path / "data" / "a.wav").stat().st_size <= 17 * MB


def test_a_bomb_in_what_is_left_out_of_a_tar_is_counted_too(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="unpacks to at most"):
        unpacked(tar({"a.bin": bytes(40 * MB), "a.wav": b"1"}), tmp_path / "data")


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ArchiveLimits(members=2, unpacked_bytes=MB), "of at most 2 files, got more; split it"),
        (ArchiveLimits(members=9, unpacked_bytes=2500), "to at most 2500 bytes, got more; split it"),
    ],
)
@pytest.mark.parametrize("pack", [tar, zipped])
def test_more_files_or_bytes_than_the_limits_are_refused(
    limits: ArchiveLimits, message: str, pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=message):
        unpacked(pack({f"{i}.wav": NOISE for i in range(3)}), tmp_path / "data", limits)


@pytest.mark.parametrize("size", [10, 1_000_000, 0xFFFFFFF0])
def test_a_zip_that_lies_about_a_size_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="data: expected"):
        unpacked(claiming(zipped({"a.wav": NOISE}), size=size), tmp_path / "data")


def test_a_tar_that_ends_within_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"data: expected a whole tar\.gz or zip, got another file"):
        unpacked(tar({"a.wav": NOISE * 10}, "w:")[:2000], tmp_path / "data")


def test_a_sparse_file_which_takes_more_than_it_is_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="data: expected"):
        unpacked(tar({"a.wav": b""}, type=tarfile.GNUTYPE_SPARSE), tmp_path / "data")


def test_an_extended_header_is_not_read_into_memory(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="data: expected headers of at most 65536 bytes"):
        unpacked(long_header(10 * MB), tmp_path / "data")


def test_a_list_of_members_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    archive = zipped({"a.wav": NOISE})
    at = archive.rindex(b"PK\5\6") + 12
    huge = archive[:at] + (40 * MB).to_bytes(4, "little") + archive[at + 4 :]

    with pytest.raises(CorpusError, match="expected a zip of fewer files and bytes"):
        unpacked(huge, tmp_path / "data")


def test_a_file_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"data: expected each file once, got 'a.wav' again"):
        unpacked(tar({"a.wav": b"1", "./a.wav": b"2"}), tmp_path / "data")
    with pytest.raises(CorpusError, match="data: expected each file once"):
        unpacked(zipped({"a.wav": b"1", "a.wav/b.wav": b"2"}), tmp_path / "more")


def test_a_password_is_refused(tmp_path: Path) -> None:
    archive = bytearray(zipped({"a.wav": NOISE}))
    archive[6] |= 1
    archive[archive.rindex(b"PK\1\2") + 8] |= 1

    with pytest.raises(CorpusError, match="data: expected files without a password"):
        unpacked(bytes(archive), tmp_path / "data")


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\3\4", b"\x1f\x8b", b"\x1f\x8b\x08", b"RIFF", bytes(2000)])
def test_what_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="data: expected"):
        unpacked(data, tmp_path / "data")


@given(st.sampled_from([tar, zipped]), st.data())
def test_however_an_archive_is_damaged_it_ends_in_files_or_in_a_sentence(
    pack: Callable[[dict[str, bytes]], bytes], data: st.DataObject
) -> None:
    whole = bytearray(pack({"a/b.wav": NOISE, "a/b.txt": b"text"}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))

    with tempfile.TemporaryDirectory() as folder:
        with suppress(CorpusError):
            found = unpacked(bytes(whole[:cut]), Path(folder) / "data")
            assert all(Path(name).suffix.lower() in KEPT for name in found)
        assert [f.name for f in Path(folder).iterdir()] == ["data"]
