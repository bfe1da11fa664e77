"""Models go to a hub, a folder or a URL; killed, the same command goes on; refused, one sentence says why."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest
from huggingface_hub import ModelCard, constants
from tests.fake_hub import FakeHub, running
from tests.small_model import SMALL_MODEL_INT8

from voxray.config import load
from voxray.errors import ConfigError, MissingDependency, ModelError, OutputError, ServiceError
from voxray.recipes.publish import PublishConfig, run

ROOT = Path(__file__).resolve().parents[3]
NAME = "team/model"
# The hub's client sends large files in a way that its own HTTP library is giving up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL_MODEL_INT8, tmp_path / "model"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # whose own protocol the fake does not speak
    with running(FakeHub()) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_TOKEN", fake.token)
        yield fake


def publish(model: Path, to: str, *words: str) -> dict[str, object]:
    return run(load(PublishConfig, {"model": str(model), "to": to}, words))


def contents(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir()}


def test_a_model_is_uploaded_with_a_card(model: Path, hub: FakeHub) -> None:
    result = publish(model, f"hf://{NAME}", "private=true", "message=First")

    assert hub.files[NAME] == contents(model)
    assert hub.private == {NAME: True}
    assert hub.commits == ["First"]
    assert result["url"] == f"{hub.url}/{NAME}/commit/1"
    assert result["form"] == "ctranslate2"
    assert ModelCard.load(model / "README.md").data.to_dict()["library_name"] == "ctranslate2"


def test_an_upload_that_was_killed_goes_on_where_it_was(model: Path, hub: FakeHub) -> None:
    (model / "first.bin").write_bytes(b"1" * 200_000)
    large = {f: sha(f) for f in model.iterdir() if f.stat().st_size >= 100_000}
    hub.hold = large[model / "model.bin"]
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, str(ROOT / "jobs/publish.py"), f"model={model}", f"to=hf://{NAME}"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert hub.held.wait(60)
        assert hub.wait_for(lambda: len(hub.blobs) == len(large) - 1)
        job.send_signal(signal.SIGKILL)
    arrived, hub.hold = set(hub.blobs), None
    hub.sent.clear()

    publish(model, f"hf://{NAME}")

    assert len(arrived) == len(large) - 1
    assert hub.sent == [large[model / "model.bin"]]
    assert hub.files[NAME] == contents(model)


def sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("status", "path", "remedy"),
    [
        (401, "/api/repos", "a token that it knows; make one at its settings/tokens and set HF_TOKEN."),
        (403, "/api/repos", "a token that may write there; ask its owner, or take another to= or HF_TOKEN."),
        (500, "/api/repos", "an upload that is accepted; run the same command again later, which goes on"),
        (403, "/blob/", "a token that may write there; ask its owner, or take another to= or HF_TOKEN."),
        (403, "/api/models", "a token that may write there; ask its owner, or take another to= or HF_TOKEN."),
    ],
)
def test_a_hub_that_refuses(model: Path, hub: FakeHub, status: int, path: str, remedy: str) -> None:
    hub.refuse = (status, path)
    with pytest.raises(ServiceError) as caught:
        publish(model, f"hf://{NAME}")
    assert str(caught.value).startswith(f"hf://{NAME}: the hub answered {status}, expected {remedy}")
    assert not hub.files.get(NAME)


def test_a_token_that_the_hub_does_not_know(
    model: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    with pytest.raises(ServiceError, match="the hub answered 401, expected a token that it knows"):
        publish(model, f"hf://{NAME}")


def test_nothing_is_sent_without_a_token(model: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="expected a token in HF_TOKEN, got none"):
        publish(model, f"hf://{NAME}")
    assert not hub.files


def test_a_hub_that_is_not_there(model: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        ServiceError, match=r"expected the hub at http://127\.0\.0\.1:1 to take the model, got \w*Connect"
    ):
        publish(model, f"hf://{NAME}")


def test_a_name_that_is_none(model: Path, hub: FakeHub) -> None:
    with pytest.raises(ConfigError, match="expected hf://OWNER/NAME, got another name"):
        publish(model, "hf://a/b/c")


def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected the folder of a model .* got one without weights"):
        publish(tmp_path, str(tmp_path / "out"))


@pytest.mark.parametrize("place", ["{tmp}/published", "memory://bucket/published"])
def test_a_model_is_copied_and_its_successor_takes_its_place(model: Path, tmp_path: Path, place: str) -> None:
    to = place.format(tmp=tmp_path)
    publish(model, to)
    first = copied(to)
    (model / "tokenizer.json").unlink()
    (model / "config.json").write_text("{}")
    publish(model, to)
    second = copied(to)

    assert first.keys() - second.keys() == {"tokenizer.json"}
    assert second == {**contents(model), "SHA256SUMS": second["SHA256SUMS"]}


def test_a_copy_that_was_interrupted_goes_on(model: Path, tmp_path: Path) -> None:
    to = tmp_path / "published"
    publish(model, str(to))
    (to / "SHA256SUMS").rename(to / "SHA256SUMS.part")
    kept = (to / "SHA256SUMS.part").read_text().splitlines(keepends=True)
    (to / "SHA256SUMS.part").write_text("".join(line for line in kept if "model.bin" not in line))
    (to / "model.bin").write_bytes(b"half")
    before_ns = (to / "tokenizer.json").stat().st_mtime_ns
    publish(model, str(to))

    assert (to / "tokenizer.json").stat().st_mtime_ns == before_ns  # not copied again
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=to, capture_output=True, check=False)
    assert checked.returncode == 0
    assert not (to / "SHA256SUMS.part").exists()


def copied(to: str) -> dict[str, bytes]:
    filesystem, root = fsspec.core.url_to_fs(to)
    return {Path(path).name: filesystem.cat_file(path) for path in filesystem.find(root)}


def test_a_place_with_other_files_stays_as_it_is(model: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="expected an empty place or a model that was published there"):
        publish(model, str(tmp_path / "taken"))
    assert contents(tmp_path / "taken") == {"thesis.txt": b"mine"}


def test_a_place_that_cannot_be_written(model: Path) -> None:
    with pytest.raises(OutputError, match="expected a place that can be written, got another"):
        publish(model, "/proc/voxray/published")


def test_a_url_without_its_driver(model: Path) -> None:
    with pytest.raises(MissingDependency, match="expected the driver of this URL, got none"):
        publish(model, "s3://bucket/model")


def test_a_url_that_nothing_knows(model: Path) -> None:
    with pytest.raises(OutputError, match="expected a folder or a URL that fsspec knows"):
        publish(model, "nosuch://bucket/model")
