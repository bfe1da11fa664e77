"""A running service for tests over real sockets, and a browser."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, launched
from tests.service.local import LocalService, serving
from tests.service.speaking import spoken_clips
from tests.small_model import SMALL_MODEL_INT8

from voxray.serving.settings import ServiceArgs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
WAIT_S = 15.0


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    playwright.expect.set_options(timeout=WAIT_S * 1000)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page that may not complain, but of what the service refuses."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_S * 1000)
    page, logged = context.new_page(), list[str]()
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("console", lambda message: logged.append(message.text))
    yield page
    context.close()
    assert [text for text in logged if "the server responded with a status of 4" not in text] == []


@pytest.fixture(scope="session")
def service() -> Iterator[LocalService]:
    """The small model behind a gateway, in this process."""
    with serving(ServiceArgs(model=str(SMALL_MODEL_INT8))) as running:
        yield running


@pytest.fixture(scope="module")
def launched_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launched]:
    """The service in processes of its own, on Ray, with the words of the module's `ARGS`."""
    log = tmp_path_factory.mktemp("service") / "log"
    with launched(log, *getattr(request.module, "ARGS", ())) as running:
        yield running


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest) -> Recording:
    """Clips that the small model knows, one after another, `LENGTH_S` of the module long."""
    return spoken_clips(request.module.LENGTH_S)
