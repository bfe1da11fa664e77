"""Archives that are as they should be, and archives that are not."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any


def tar(files: Mapping[str, bytes], mode: Any = "w:gz", **header: Any) -> bytes:
    """A tar of `files`; `header` changes what is said of each."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zipped(files: Mapping[str, bytes], *, kind: int = stat.S_IFREG, compression: int = 8) -> bytes:
    """A zip of `files`, each said to be of `kind`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o644) << 16
            info.compress_type = compression
            archive.writestr(info, content)
    return file.getvalue()


def claiming(archive: bytes, *, size: int) -> bytes:
    """The zip `archive` of one file, whose list of members says that it unpacks to `size` bytes."""
    at = archive.rindex(b"PK\1\2") + 24
    return archive[:at] + size.to_bytes(4, "little") + archive[at + 4 :]


def long_header(size: int) -> bytes:
    """A tar.gz with an extended header of `size` bytes."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.wav")
        info.pax_headers = {"comment": "x" * size}
        archive.addfile(info)
    return file.getvalue()
