"""The page of corrections in a real browser."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.service.launched import wait_until
from tests.unit.serving.corrections.test_routes import KEYS, app_of, owner
from tests.unit.serving.corrections.test_store import add
from tests.unit.serving.rest.test_routes import listening

from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.settings import CorrectionSettings

if find_spec("playwright") is None:
    pytest.skip("playwright is not installed: pip install -e .[dev]", allow_module_level=True)

from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(CorrectionSettings(dir=tmp_path))


@pytest.fixture
def corrections(page: Page, store: CorrectionStore) -> Iterator[Page]:
    """The page, once it has the key that it asks for."""
    with listening(app_of(store)) as url:
        page.goto(f"{url}/corrections")
        page.locator("#key").fill(KEYS["VOXRAY_API_KEYS"].split(",")[0])
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#none")).to_be_visible()
        yield page
        page.goto("about:blank")


def texts_on_disk(store: CorrectionStore) -> list[str]:
    return sorted(file.read_text().strip() for file in store.corpus(owner()).glob("*.txt"))


def test_a_key_opts_in_and_corrects_by_keyboard(corrections: Page, store: CorrectionStore) -> None:
    page = corrections
    expect(page.locator("#none")).to_contain_text("Turn on the switch")
    page.get_by_role("switch").check()
    expect(page.locator("#none")).to_contain_text("What is spoken with this key from now on appears here")
    assert store.is_enabled(owner())
    add(store, "turn on the radio", 0.9, owner=owner())
    add(store, "turn of the light", 0.3, owner=owner())
    add(store, "noise", 0.1, owner=owner())
    page.reload()

    cards, counts = page.locator(".correction"), page.locator("#counts")
    expect(cards.locator(".confidence").first).to_contain_text("10 % confident")
    cards.first.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('.correction audio').currentTime > 0.1")
    cards.first.get_by_role("button", name="Delete").click()
    box = cards.first.get_by_label("What was spoken")
    expect(box).to_be_focused()
    page.wait_for_function("() => document.querySelector('.correction audio').currentTime > 0.1")
    box.fill("turn off")
    box.press("Escape")
    expect(box).to_have_value("turn of the light")
    box.fill("turn off the light")
    box.press("Enter")
    expect(counts).to_have_text("1 to correct, 1 corrected")
    cards.first.get_by_label("What was spoken").press("Enter")

    expect(counts).to_have_text("0 to correct, 2 corrected")
    expect(page.locator("#undo-about")).to_have_text("Saved: turn on the radio")
    page.goto("about:blank")  # sends what could still be undone
    wait_until(lambda: store.counts(owner()) == (0, 2), 15)  # what a correction does last
    assert texts_on_disk(store) == ["turn off the light", "turn on the radio"]


def test_what_was_done_last_is_undone(corrections: Page, store: CorrectionStore) -> None:
    page = corrections
    store.enable(owner(), enabled=True)
    for text, confidence in [("first", 0.1), ("second", 0.2)]:
        add(store, text, confidence, owner=owner())
    page.reload()
    cards = page.locator(".correction")
    for name, after in [("Delete", "1 to correct, 0 corrected"), ("Save", "1 to correct, 1 corrected")]:
        cards.first.get_by_role("button", name=name).click()
        expect(cards).to_have_count(1)
        expect(page.locator("#counts")).to_have_text(after)
        page.get_by_role("button", name="Undo").click()
        expect(cards.first.get_by_label("What was spoken")).to_have_value("first")
        expect(page.locator("#counts")).to_have_text("2 to correct, 0 corrected")
    assert store.counts(owner()) == (2, 0)


def test_the_page_fits_a_phone(corrections: Page, store: CorrectionStore) -> None:
    page = corrections
    page.set_viewport_size({"width": 390, "height": 800})
    store.enable(owner(), enabled=True)
    for text in ("long " * 20, "short"):
        add(store, text, 0.5, owner=owner())
    page.reload()
    page.get_by_role("button", name="Save").first.click()
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("button", name="Undo")).to_be_in_viewport()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390


def test_what_the_service_refuses_is_said_and_comes_back(corrections: Page, store: CorrectionStore) -> None:
    page = corrections
    store.enable(owner(), enabled=True)
    for text, confidence in [("first", 0.1), ("second", 0.2)]:
        add(store, text, confidence, owner=owner())
    page.reload()
    body = json.dumps({"error": {"message": "expected room on the disk, got none."}})
    page.route("**/v1/corrections/*", lambda route: route.fulfill(status=413, body=body))
    cards = page.locator(".correction")
    cards.first.get_by_label("What was spoken").fill("corrected")
    for _ in range(2):  # the second is done, and so the first is sent
        cards.first.get_by_role("button", name="Save").click()

    expect(page.get_by_role("alert")).to_have_text("Expected room on the disk, got none.")
    expect(cards.first.get_by_label("What was spoken")).to_have_value("corrected")


def test_all_recordings_are_deleted(corrections: Page, store: CorrectionStore) -> None:
    page = corrections
    store.enable(owner(), enabled=True)
    add(store, "secret", 0.5, owner=owner())
    page.reload()

    page.get_by_role("button", name="Delete all").click()
    page.locator("#clear-dialog").get_by_role("button", name="Delete").click()

    expect(page.locator("#none")).to_be_visible()
    expect(page.get_by_role("switch")).not_to_be_checked()
    assert store.counts(owner()) == (0, 0)
