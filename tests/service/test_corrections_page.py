"""The page of corrections in a real browser."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
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
    """The page, with the key that it asks for."""
    with listening(app_of(store)) as url:
        page.goto(f"{url}/corrections")
        page.locator("#key").fill(KEYS["VOXRAY_API_KEYS"].split(",")[0])
        page.get_by_role("button", name="Connect").click()
        expect(page.locator("#none")).to_be_visible()
        yield page
        page.goto("about:blank")


def test_a_key_opts_in_and_corrects_what_is_least_certain(corrections: Page, store: CorrectionStore) -> None:
    page = corrections
    page.get_by_role("switch").check()
    expect(page.locator("#counts")).to_have_text("0 to correct, 0 accepted.")
    assert store.is_enabled(owner())
    add(store, "turn on the radio", 0.9, owner=owner())
    add(store, "turn of the light", 0.3, owner=owner())
    add(store, "noise", 0.1, owner=owner())
    page.reload()

    cards = page.locator(".correction")
    expect(cards.locator(".clip-about").first).to_contain_text("10 % certain")
    cards.first.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('.correction audio').currentTime > 0.1")
    cards.first.get_by_role("button", name="Discard").click()
    expect(cards).to_have_count(2)
    box = cards.first.get_by_label("What was said")
    expect(box).to_be_focused()
    box.fill("turn off the light")
    box.press("Control+Enter")

    expect(page.locator("#counts")).to_contain_text("1 to correct, 1 accepted")
    assert [f.read_text() for f in store.corpus(owner()).glob("*.txt")] == ["turn off the light\n"]

    page.get_by_role("button", name="Delete all that was kept").click()
    page.locator("#clear-dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#none")).to_be_visible()
    expect(page.get_by_role("switch")).not_to_be_checked()
    assert store.counts(owner()) == (0, 0)
