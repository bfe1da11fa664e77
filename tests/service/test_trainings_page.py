"""The page of trainings in a real browser; a runner that runs nothing leaves their folders to the test."""

import json
import shutil
import tarfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.small_model import SMALL_MODEL_CLIPS
from tests.unit.serving.rest.test_routes import listening
from tests.unit.serving.trainings.test_routes import KEYS, ScriptedRunner, app_of, finished

from voxray.serving.trainings.store import TrainingFolder, TrainingStore

if find_spec("playwright") is None:
    pytest.skip("playwright is not installed: pip install -e .[dev]", allow_module_level=True)

from playwright.sync_api import Locator, Page, Route, expect

REPORT = """<!doctype html><link rel="icon" href="data:,"><style>h1 { color: rgb(1, 2, 3); }</style>
<h1>It got better</h1>"""
EDITS = [
    {"kind": "equal", "reference": "it is", "hypothesis": "it is"},
    {"kind": "substitute", "reference": "nine", "hypothesis": "five"},
]

pytestmark = pytest.mark.browser


@contextmanager
def served(page: Page, directory: Path, environ: Mapping[str, str], **settings: Any) -> Iterator[str]:
    """The URL of a gateway with trainings in `directory`, while the block runs; `page` leaves it then."""
    app = app_of(directory, ScriptedRunner(), environ, files=99, upload_bytes=1_000_000, **settings)
    with listening(app) as url:
        yield url
        page.goto("about:blank")


@pytest.fixture
def url(page: Page, tmp_path: Path) -> Iterator[str]:
    with served(page, tmp_path / "trainings", {}, tensorboard_url="http://127.0.0.1:6006") as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An audio folder with a part, and a file that is none of it."""
    folder = tmp_path / "mine"
    (folder / "März").mkdir(parents=True)
    for clip in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:2]:
        shutil.copy(clip, folder / "März")
        shutil.copy(clip.with_suffix(".txt"), folder / "März")
    (folder / ".hidden.txt").write_text("not sent")
    return folder


def submit(page: Page, url: str, folder: Path) -> None:
    page.goto(f"{url}/trainings")
    page.set_input_files("#folder", folder)
    page.get_by_label("Steps").fill("20")
    page.click("#start")


def made(tmp_path: Path) -> TrainingFolder:
    """The only training that there is."""
    (folder,) = TrainingStore(tmp_path / "trainings").all()
    return folder


def card(page: Page) -> Locator:
    return page.locator(".training")


def succeeded(folder: TrainingFolder) -> None:
    """As its job leaves it."""
    finished(folder)
    (folder.out / "report.html").write_text(REPORT)
    sound = b64encode(next(SMALL_MODEL_CLIPS.glob("*.ogg")).read_bytes()).decode()
    clip: dict[str, Any] = {
        **{"id": "clip-7", "speaker": "ann", "duration": "2.1 s", "reference": "It is nine."},
        "hypotheses": [{"name": "tiny.en", "wer": "33", "edits": EDITS}],
        "audio": f"data:audio/ogg;base64,{sound}",
    }
    (folder.out / "clips.json").write_text(json.dumps({"object": "list", "data": [clip]}))


def test_a_folder_is_packed_in_the_browser_and_waits_for_its_turn(
    page: Page, url: str, folder: Path, tmp_path: Path
) -> None:
    page.goto(f"{url}/trainings")
    expect(page.locator("#none")).to_be_visible()
    page.set_input_files("#folder", folder)
    expect(page.locator("#picked")).to_contain_text("mine: 4 files")
    page.get_by_label("Steps").fill("20")
    page.get_by_text("Further keys of the job").click()
    page.locator("#keys").fill("plan.batch_s=8\n\n")
    page.click("#start")

    expect(card(page).locator("h3")).to_have_text("Fine-tuning tiny.en")
    expect(card(page).locator(".status-label")).to_have_text("Queued")
    expect(card(page).locator(".phase")).to_have_text("Waiting for 1 CPU to be free")
    training = made(tmp_path)
    assert training.request.keys == {"max_steps": "20", "plan.batch_s": "8"}
    sent = {f.relative_to(training.data).as_posix() for f in training.data.rglob("*") if f.is_file()}
    assert sent == {f.name for f in folder.rglob("*/*")}


def test_a_dropped_folder_is_taken_as_a_chosen_one(page: Page, url: str, folder: Path) -> None:
    page.goto(f"{url}/trainings")
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 300, "data": data})

    expect(page.locator("#picked")).to_contain_text("mine: 4 files")


def test_the_page_follows_a_training_to_its_end(page: Page, url: str, folder: Path, tmp_path: Path) -> None:
    submit(page, url, folder)
    expect(card(page)).to_be_visible()
    training = made(tmp_path)
    training.out.mkdir()
    (training.path / "phase").write_text("training\n")
    lines = [
        {"step": 0, "max_steps": 20, "elapsed_s": 0.0, "started": 1.0, "wer": 24.06},
        {"step": 5, "max_steps": 20, "elapsed_s": 40.0, "started": 1.0, "wer": 18.34},
    ]
    (training.out / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    training.write_state(training.state.started(1.0))

    expect(card(page).locator(".phase")).to_have_text("Step 5 of 20 · 25 %")
    expect(card(page).locator(".left")).to_have_text("about 2 min left")
    expect(card(page).locator(".wers dd")).to_have_text(["24.1 %", "18.3 %", "\N{MINUS SIGN}5.7"])
    expect(card(page).get_by_role("progressbar")).to_have_attribute("value", "25")

    shutil.rmtree(training.out)
    succeeded(training)
    expect(card(page).locator(".status-label")).to_have_text("Succeeded")
    expect(card(page).locator(".phase")).to_have_text("Took 60 s")


def test_a_lost_connection_is_made_again(page: Page, url: str, folder: Path, tmp_path: Path) -> None:
    streams = list[str]()

    def once(route: Route) -> None:
        streams.append(route.request.url)
        route.fulfill(content_type="text/event-stream", body="") if len(streams) == 1 else route.continue_()

    page.route("**/events", once)
    submit(page, url, folder)
    expect(card(page)).to_be_visible()
    succeeded(made(tmp_path))

    expect(card(page).locator(".status-label")).to_have_text("Succeeded")
    assert len(streams) == 2


def test_what_a_training_made_is_heard_read_downloaded_and_deleted(
    page: Page, url: str, folder: Path, tmp_path: Path
) -> None:
    submit(page, url, folder)
    expect(card(page)).to_be_visible()
    training = made(tmp_path)
    succeeded(training)

    page.get_by_role("button", name="Listen to the worst clips").click()
    expect(page.locator(".clip .reference")).to_have_text("It is nine.")
    expect(page.locator(".clip ins")).to_have_text("five")
    page.evaluate("() => document.querySelector('.clip audio').play()")
    assert page.evaluate("() => document.querySelector('.clip audio').duration") > 0.5
    page.get_by_role("button", name="Close").click()

    page.get_by_role("button", name="Report").click()
    heading = page.frame_locator("#report").locator("h1")
    expect(heading).to_have_css("color", "rgb(1, 2, 3)")
    page.get_by_role("button", name="Close").click()

    with page.expect_download() as download:
        page.get_by_role("button", name="Download the model as hf").click()
    with tarfile.open(download.value.path(), "r:gz") as archive:
        assert archive.getnames() == [f"{training.id}-hf/weights"]

    board = page.get_by_role("link", name="TensorBoard").get_attribute("href") or ""
    assert board.startswith("http://127.0.0.1:6006/?runFilter=train-")

    page.get_by_role("button", name="Delete").click()
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(card(page)).to_have_count(0)
    assert not training.path.exists()


def test_a_trained_model_is_tried_live(page: Page, url: str, folder: Path, tmp_path: Path) -> None:
    submit(page, url, folder)
    expect(card(page)).to_be_visible()
    training = made(tmp_path)
    succeeded(training)
    expect(card(page).locator(".status-label")).to_have_text("Succeeded")
    expect(card(page).get_by_role("button", name="Deploy")).to_be_hidden()  # there is no export to be served
    (training.path / "exports" / "ct2").mkdir()
    (training.path / "exports" / "ct2" / "model.bin").touch()
    page.reload()

    card(page).get_by_role("button", name="Deploy").click()
    expect(page.locator("#deploy-start")).to_have_text(f'{{"type": "start", "model": "{training.id}"}}')
    expect(page.locator("#deploy-key")).to_have_text(f"KEY {training.id}")
    page.get_by_role("link", name="Try it live").click()

    expect(page.get_by_label("Model")).to_have_value(training.id)


def test_the_report_also_opens_by_its_address(page: Page, url: str, folder: Path, tmp_path: Path) -> None:
    submit(page, url, folder)
    expect(card(page)).to_be_visible()
    training = made(tmp_path)
    succeeded(training)

    page.goto(f"{url}/v1/trainings/{training.id}/report")

    expect(page.locator("h1")).to_have_text("It got better")


def test_a_training_is_cancelled(page: Page, url: str, folder: Path, tmp_path: Path) -> None:
    submit(page, url, folder)
    card(page).get_by_role("button", name="Cancel").click()

    expect(card(page).locator(".status-label")).to_have_text("Cancelled")
    assert made(tmp_path).is_cancelled


def test_a_refusal_is_shown_in_the_services_words(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/trainings")
    page.click("#start")
    expect(page.get_by_role("alert")).to_have_text("Choose a folder or an archive first.")
    page.set_input_files(
        "#archive", {"name": "mine.tar.gz", "mimeType": "application/gzip", "buffer": b"no archive"}
    )
    page.click("#start")

    expect(page.get_by_role("alert")).to_contain_text(
        "Data: expected a whole tar.gz or zip, got another file"
    )
    assert not list((tmp_path / "trainings").iterdir())


def test_the_page_asks_for_a_key_and_uses_it_everywhere(page: Page, folder: Path, tmp_path: Path) -> None:
    with served(page, tmp_path / "trainings", KEYS) as url:
        page.goto(f"{url}/trainings")
        expect(page.locator("#key-about")).to_have_text("Expected a key, got none.")
        page.locator("#key").fill("mine")
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#none")).to_be_visible()
        page.set_input_files("#folder", folder)
        page.click("#start")
        expect(card(page)).to_be_visible()
        succeeded(made(tmp_path))
        page.get_by_role("button", name="Report").click()
        expect(page.frame_locator("#report").locator("h1")).to_have_text("It got better")
        frame = page.frames[-1]
        assert frame.evaluate(
            "() => { try { return sessionStorage.length; } catch { return 'no access'; } }"
        ) == ("no access")


def test_the_page_fits_a_phone(page: Page, url: str, folder: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    submit(page, url, folder)
    expect(card(page)).to_be_visible()

    assert page.evaluate("() => document.documentElement.scrollWidth") == 360
