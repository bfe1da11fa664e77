"""Corpora and runs on a server that speaks S3, moto's, on a socket of this machine.

Not among the packages for development: moto's botocore wants python-dateutil < 3, and constraints.txt has 4.

    pip install --target DIR aiobotocore && pip install --target DIR --no-deps s3fs moto boto3 s3transfer \\
        responses xmltodict flask flask-cors itsdangerous blinker joserfc aioitertools py-partiql-parser
    PYTHONPATH=platform:.:DIR pytest tests/unit/corpora/test_s3.py
"""

from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest
from pydantic import TypeAdapter

from voxray import remote_out
from voxray.audio import encode
from voxray.corpora.sources import list_corpus, load_clips
from voxray.errors import CorpusError, OutputError
from voxray.recipes.publish_files import publish_files
from voxray.remote_out import OutFolder, RemoteCopy, copied

moto = pytest.importorskip("moto.server", reason="moto[server] is not installed: see above")
pytest.importorskip("s3fs", reason="s3fs is not installed: see above")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket with a corpus of one clip in `calls`."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(key, value)
        filesystem = fsspec.filesystem("s3")
        filesystem.mkdir("voxray-test")
        filesystem.pipe("voxray-test/calls/a.flac", encode(np.full(8000, 500, np.int16)))
        filesystem.pipe("voxray-test/calls/a.txt", b"one two")
        yield "s3://voxray-test"
        server.stop()


def test_a_folder_in_a_bucket_reads_like_a_local_one(bucket: str) -> None:
    clips, rejected = load_clips(f"{bucket}/calls")
    assert [(c.id, c.text, len(c.pcm)) for c in clips] == [("a", "one two", 8000)]
    assert rejected == []


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    "corpus", ["s3://voxray-nowhere/calls", "s3://voxray-test/nothing", "s3://voxray-nowhere/x.jsonl"]
)
def test_a_bucket_that_is_not_there_is_named(corpus: str) -> None:
    with pytest.raises(CorpusError) as caught:
        list_corpus(corpus)
    assert str(caught.value).startswith(f"{corpus}: expected ")
    assert "\n" not in str(caught.value)


def test_a_run_in_a_bucket_goes_on_from_there_on_another_machine(bucket: str, tmp_path: Path) -> None:
    first, second = (RemoteCopy(tmp_path / name, f"{bucket}/runs/a") for name in ("first", "second"))
    first.begin()
    (first.folder / "train").mkdir()
    (first.folder / "train" / "state").write_text("10")
    first.send()
    second.begin()
    assert (second.folder / "train" / "state").read_text() == "10"
    (second.folder / "train" / "state").unlink()
    second.send()
    first.begin()
    assert not (first.folder / "train" / "state").exists()


def test_a_bucket_is_not_made_because_its_name_was_wrong(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_out, "CACHE", tmp_path)
    folder = TypeAdapter(OutFolder).validate_python("s3://voxray-nowhere/run")
    with pytest.raises(OutputError, match=r"^s3://voxray-nowhere/run: expected a place that can be"):
        copied(folder).__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^s3://voxray-nowhere/model: expected a place that can be"):
        publish_files([tmp_path / "file"], "s3://voxray-nowhere/model")
    assert fsspec.filesystem("s3").ls("", refresh=True) == ["voxray-test"]
