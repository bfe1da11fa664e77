"""A folder as a tar.gz that is written while it is sent."""

import gzip
import os
import tarfile
import threading
from collections.abc import Generator
from pathlib import Path

_CHUNK = 256 << 10


def packed(folder: Path, name: str) -> Generator[bytes, None, None]:
    """Yield `folder` as a tar.gz, its files below `name`, in bounded memory.

    Raises OSError where a file is deleted meanwhile: the download then ends without its end.
    """
    reading, writing = os.pipe()
    errors: list[OSError] = []

    def write() -> None:
        try:
            with (
                open(writing, "wb") as out,
                gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as compressed,
                tarfile.open(fileobj=compressed, mode="w|") as tar,
            ):
                for file in sorted(folder.rglob("*")):
                    tar.add(file, f"{name}/{file.relative_to(folder)}", recursive=False)
        except OSError as e:  # one is that nobody reads any more
            errors.append(e)

    writer = threading.Thread(target=write, name="voxray-download")
    writer.start()
    with open(reading, "rb", buffering=0) as chunks:
        while chunk := chunks.read(_CHUNK):
            yield chunk
    writer.join()
    if errors:
        raise errors[0]
