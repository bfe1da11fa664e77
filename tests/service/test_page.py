"""The page in a real browser, with a scripted service behind it that can be told to fail."""

import io
import re
import shutil
import wave
from base64 import b64encode
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from importlib.resources import files
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
from tests.service import page_server
from tests.service.local import LocalService
from tests.service.page_server import PERIOD_S, TEXTS, PageServer, final
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import Pcm, decode
from voxray.transcript import Segment, Transcript, to_srt, to_text, to_vtt

if find_spec("playwright") is None:
    pytest.skip("playwright is not installed: pip install -e .[dev]", allow_module_level=True)

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

ASSETS = Path(str(files("voxray"))) / "assets"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
RATE = 16_000
SPOKEN = sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:12]
WAIT_S = 15.0
REAL_S = 45.0  # the decoder shares its cores with the browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed"),
]


def recording(seconds: float) -> bytes:
    """A wav file of noise: no second of it is like another, so that each byte can be found again."""
    samples = np.random.default_rng(7).integers(-20_000, 20_000, round(seconds * RATE), dtype=np.int16)
    return wav(samples.tobytes())


def wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE, 0, "NONE", ""))
        writer.writeframes(pcm)
    return file.getvalue()


def speech() -> Pcm:
    """All that is said in some of the package's clips, with a second between them."""
    pause = np.zeros(RATE, np.int16)
    return np.concatenate([part for clip in SPOKEN for part in (decode(clip), pause)])


def pcm_of(file: bytes) -> bytes:
    with wave.open(io.BytesIO(file)) as reader:
        return bytes(reader.readframes(reader.getnframes()))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    sound = tmp_path_factory.mktemp("sound") / "microphone.wav"
    sound.write_bytes(wav(speech().tobytes()))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={sound}%noloop",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def scripted() -> Iterator[PageServer]:
    with page_server.running() as scripted:
        yield scripted
    assert scripted.violations == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        permissions=["microphone", "clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(WAIT_S * 1000)
    yield context
    context.close()


@pytest.fixture
def complaints() -> list[str]:
    """What a test expects on the console; everything else there fails it."""
    return []


@pytest.fixture
def page(context: BrowserContext, scripted: PageServer, complaints: list[str]) -> Iterator[Page]:
    page, logged = context.new_page(), list[str]()
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.goto(scripted.url)
    yield page
    assert [text for text in logged if not any(c in text for c in complaints)] == []


def see(locator: Locator, text: str | re.Pattern[str]) -> None:
    expect(locator).to_contain_text(text, timeout=WAIT_S * 1000)


def until(what: Callable[[], object], failure: str) -> None:
    """Waits for a condition on the service's side."""
    end = monotonic() + WAIT_S
    while not what():
        assert monotonic() < end, failure
        sleep(0.02)


def drop_file(page: Page, name: str, data: bytes) -> None:
    page.set_input_files("#files", {"name": name, "mimeType": "audio/wav", "buffer": data})


def reference_words() -> list[str]:
    """The words of `speech`, as they are compared."""
    return words_of(" ".join(clip.with_suffix(".txt").read_text() for clip in SPOKEN))


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def share_shown(page: Page, words: list[str]) -> float:
    """The share of `words` that stand on the page, in order."""
    shown = words_of(" ".join(lines(page).all_inner_texts()))
    matcher = SequenceMatcher(None, words, shown, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(words)


def times(page: Page) -> list[str]:
    return [str(t.get_attribute("datetime")) for t in page.locator(".line time").all()]


def state(page: Page) -> Locator:
    return page.locator("#state-label")


def lines(page: Page) -> Locator:
    return page.locator(".line p")


def finished(page: Page) -> None:
    expect(state(page)).to_have_text("Ready", timeout=WAIT_S * 1000)


# The microphone


def test_a_second_click_stops_no_sooner_than_the_last_frame(page: Page, scripted: PageServer) -> None:
    page.click("#main")
    see(lines(page).first, TEXTS[0])
    page.evaluate("() => { const main = document.getElementById('main'); main.click(); main.click(); }")
    finished(page)

    (session,) = scripted.sessions
    assert lines(page).all_inner_texts() == [f.text for f in session.finals]


def test_words_of_the_microphone_appear_and_stay(page: Page, scripted: PageServer) -> None:
    page.click("#main")
    see(state(page), "Live")
    see(lines(page).first, TEXTS[0])
    page.click("#main")
    finished(page)

    (session,) = scripted.sessions
    assert session.start.words
    assert session.start.language is None
    assert lines(page).all_inner_texts() == [f.text for f in session.finals]
    assert page.locator(".partial").is_hidden()


def test_a_partial_has_a_firm_and_a_faint_part(page: Page) -> None:
    page.click("#main")
    see(page.locator(".stable"), "Good morning,")
    see(page.locator(".unstable"), re.compile(r"\w"))

    assert colour(page, ".stable") != colour(page, ".unstable")


def test_the_level_moves(page: Page) -> None:
    meter = page.get_by_role("meter", name="Microphone level")
    expect(meter).to_have_attribute("aria-valuenow", "0")
    page.click("#main")
    expect(meter).to_have_attribute("aria-valuenow", re.compile("[1-9]"), timeout=WAIT_S * 1000)


def test_the_devices_are_offered_once_there_is_permission(page: Page) -> None:
    devices = page.get_by_role("combobox", name="Microphone")
    expect(devices).to_be_hidden()
    page.click("#main")
    expect(devices).to_be_visible()
    assert len(devices.locator("option").all()) >= 2


def test_another_device_goes_on_in_the_same_session(page: Page, scripted: PageServer) -> None:
    page.click("#main")
    see(state(page), "Live")
    page.get_by_role("combobox", name="Microphone").select_option(index=1)
    until(lambda: scripted.sessions[0].received > 2 * scripted.sessions[0].rate, "no audio after the change")

    assert len(scripted.sessions) == 1


BROWSER = """
    window.locks = [];
    navigator.wakeLock.request = async (kind) => {
        const lock = { kind, released: document.visibilityState !== "visible" };
        lock.release = async () => { lock.released = true; };
        window.locks.push(lock);
        return lock;
    };
    const media = navigator.mediaDevices, open = media.getUserMedia.bind(media);
    const Context = window.AudioContext;
    media.getUserMedia = async (wanted) => {
        const stream = await open(wanted);
        [window.track] = stream.getAudioTracks();
        return stream;
    };
    window.AudioContext = class extends Context { constructor() { super(); window.context = this; } };
    window.mute = (muted) => {
        Object.defineProperty(window.track, "muted", { value: muted, configurable: true });
        window.track.dispatchEvent(new Event(muted ? "mute" : "unmute"));
    };
    window.turn = (visibility) => {
        Object.defineProperty(document, "visibilityState", { value: visibility, configurable: true });
        if (visibility === "hidden") window.locks.forEach((lock) => lock.release());
        document.dispatchEvent(new Event("visibilitychange"));
    };
"""
"""What a phone does and Chromium cannot be told to do: mutes, hides the page, takes the wake lock back."""


@pytest.fixture
def phone(page: Page) -> Page:
    """The page on a device that can be told what happens to it, listening."""
    page.add_init_script(BROWSER)
    page.reload()
    page.click("#main")
    see(state(page), "Live")
    return page


def goes_on(scripted: PageServer) -> None:
    """Waits until a second more of audio has arrived."""
    (session,) = scripted.sessions
    at = session.received
    until(lambda: session.received > at + 2 * session.rate, "no more audio arrived")


def locks_held(page: Page) -> int:
    return int(page.evaluate("() => window.locks.filter((lock) => !lock.released).length"))


def test_the_screen_stays_on_while_the_microphone_is_open(phone: Page) -> None:
    assert locks_held(phone) == 1
    assert phone.evaluate("() => window.locks[0].kind") == "screen"
    phone.evaluate("() => window.turn('hidden')")
    assert locks_held(phone) == 0
    phone.evaluate("() => window.turn('visible')")
    until(lambda: locks_held(phone) == 1, "the lock was not asked for again")
    phone.click("#main")
    finished(phone)
    assert locks_held(phone) == 0
    phone.evaluate("() => window.turn('visible')")
    assert locks_held(phone) == 0


@pytest.mark.parametrize("refusal", ["undefined", "{ request: async () => { throw new Error('battery'); } }"])
def test_without_a_wake_lock_the_microphone_works(page: Page, scripted: PageServer, refusal: str) -> None:
    page.add_init_script(f"Object.defineProperty(navigator, 'wakeLock', {{ value: {refusal} }});")
    page.reload()
    page.click("#main")
    until(lambda: scripted.sessions, "no session")
    goes_on(scripted)


def test_a_muted_microphone_is_reported_until_it_is_on_again(phone: Page, scripted: PageServer) -> None:
    alert = phone.get_by_role("alert")
    phone.evaluate("() => window.mute(true)")
    see(alert, "The microphone is muted")
    phone.evaluate("() => window.mute(false)")
    expect(alert).to_be_hidden()
    goes_on(scripted)


@pytest.mark.parametrize("return_", ["visibility", "touch", "unmute"])
def test_an_interrupted_context_is_reported_and_resumed(
    phone: Page, scripted: PageServer, return_: str
) -> None:
    alert = phone.get_by_role("alert")
    phone.evaluate("() => { window.turn('hidden'); return window.context.suspend(); }")
    see(alert, "The system has interrupted the microphone")
    phone.evaluate(
        "() => Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true })"
    )
    match return_:
        case "visibility":
            phone.evaluate("() => window.turn('visible')")
        case "touch":
            phone.locator("h1").click()
        case "unmute":
            phone.evaluate("() => { window.mute(true); window.mute(false); }")
    expect(alert).to_be_hidden()
    goes_on(scripted)
    assert len(scripted.sessions) == 1


def test_a_microphone_that_goes_away_ends_the_recording(phone: Page, scripted: PageServer) -> None:
    phone.evaluate("() => window.track.dispatchEvent(new Event('ended'))")
    see(phone.get_by_role("alert"), "The microphone was disconnected.")
    finished(phone)


def test_the_language_is_shown(page: Page, scripted: PageServer) -> None:
    page.get_by_label("Language").fill(" DE ")
    page.click("#main")
    until(lambda: scripted.starts, "no start message arrived")

    assert scripted.starts[0]["language"] == "de"


def test_a_page_that_is_not_safe_gives_that_there_is_no_microphone(
    browser: Browser, scripted: PageServer
) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    page = context.new_page()
    page.goto(scripted.url)

    see(page.get_by_role("alert"), "only to pages on localhost or https")
    expect(page.locator("#main")).to_be_disabled()
    drop_file(page, "a.wav", recording(3))
    see(lines(page), TEXTS[0])
    context.close()


# The service itself, with the small model


def test_a_file_is_read_by_the_service(context: BrowserContext, service: LocalService) -> None:
    page = context.new_page()
    page.goto(service.http)
    drop_file(page, "clips.wav", wav(speech().tobytes()))
    expect(lines(page).nth(len(SPOKEN) // 2)).to_be_attached(timeout=REAL_S * 1000)
    expect(state(page)).to_have_text("Ready", timeout=REAL_S * 1000)

    assert share_shown(page, reference_words()) > 0.5
    assert page.locator(".line").first.locator(".word").count() >= 3


def test_the_microphone_outlives_the_services_memory(context: BrowserContext, service: LocalService) -> None:
    page = context.new_page()
    page.goto(service.http)
    page.click("#main")
    expect(lines(page).nth(1)).to_be_attached(timeout=REAL_S * 1000)
    service.lose_hosts()
    expect(lines(page).nth(4)).to_be_attached(timeout=REAL_S * 1000)
    page.click("#main")
    expect(state(page)).to_have_text("Ready", timeout=REAL_S * 1000)

    assert share_shown(page, reference_words()[: len(" ".join(lines(page).all_inner_texts()).split())]) > 0.5
    starts = [float(t.removeprefix("PT").removesuffix("S")) for t in times(page)]
    assert starts == sorted(set(starts))


# Lost connections


def test_a_lost_connection_resumes_and_every_byte_comes_once(
    page: Page, scripted: PageServer, complaints: list[str]
) -> None:
    complaints.append("WebSocket connection")
    scripted.speed, scripted.refusals = 8.0, 1
    file = recording(30)
    drop_file(page, "talk.wav", file)
    for heard_s in (6.0, 15.0):
        until(lambda s=heard_s: scripted.sessions and scripted.sessions[0].processed_s > s, "not heard")  # type: ignore[misc]  # the default binds it now
        scripted.refusals = 1
        scripted.drop()
    finished(page)

    (session,) = scripted.sessions
    assert bytes(session.audio) == pcm_of(file)
    assert len(scripted.starts) == 3
    assert lines(page).all_inner_texts() == [TEXTS[i % 4] for i in range(10)]


def test_a_session_that_is_gone_is_gone_on_with(
    page: Page, scripted: PageServer, complaints: list[str]
) -> None:
    complaints.append("WebSocket connection")
    scripted.speed = 8.0
    file = recording(24)
    drop_file(page, "talk.wav", file)
    until(lambda: scripted.sessions and scripted.sessions[0].processed_s > 10.0, "not heard")
    scripted.forget()
    finished(page)

    first, second = scripted.sessions
    logged = bytes(first.audio[: second.first_byte]) + bytes(second.audio)
    assert logged == pcm_of(file)
    assert scripted.starts[1]["have_segment"] == len(first.finals) - 1 > 0
    assert lines(page).all_inner_texts() == [TEXTS[i % 4] for i in range(8)]


def test_the_microphone_is_recorded_while_there_is_no_connection(
    page: Page, scripted: PageServer, complaints: list[str]
) -> None:
    complaints.append("WebSocket connection")
    page.click("#main")
    see(page.locator(".stable"), "Good")
    scripted.refusals = 2
    scripted.drop()
    see(state(page), "Reconnecting")
    see(page.locator("#state-detail"), re.compile(r"in \d s"))
    see(state(page), "Live")
    see(lines(page).nth(1), TEXTS[1])
    page.click("#main")
    finished(page)

    (session,) = scripted.sessions
    length = page.locator(".length").inner_text()
    assert length == f"0:{int(session.received / session.rate):02d}"
    assert lines(page).all_inner_texts() == [f.text for f in session.finals]


def test_a_service_that_goes_sends_its_clients_on(page: Page, scripted: PageServer) -> None:
    scripted.speed = 8.0
    drop_file(page, "talk.wav", recording(12))
    until(lambda: scripted.sessions and scripted.sessions[0].processed_s > 4.0, "not heard")
    scripted.drain()
    finished(page)

    assert [s.get("session") for s in scripted.starts] == [None, "0.0"]
    assert len(lines(page).all()) == 4


def test_lag_is_shown(page: Page, scripted: PageServer) -> None:
    scripted.speed = 0.2
    page.click("#main")

    see(page.locator("#state-detail"), re.compile(r"lagging by [3-9] s"))


def test_an_error_ends_the_recording_with_the_services_sentence(page: Page, scripted: PageServer) -> None:
    page.click("#main")
    see(lines(page).first, TEXTS[0])
    scripted.end(1008, "Expected at most 4 times real time, got 9.")

    see(page.get_by_role("alert"), "Expected at most 4 times real time, got 9.")
    expect(state(page)).to_have_text("Stopped")
    expect(page.locator("#main")).to_have_text("Start")
    assert lines(page).first.inner_text() == TEXTS[0]


# Keys


def test_a_key_is_asked_for_kept_and_never_in_an_address(page: Page, scripted: PageServer) -> None:
    scripted.key = "c2VzYW1lLTEvMg"  # sesame-1/2
    page.click("#main")
    dialog = page.get_by_role("dialog", name="This service asks for a key")
    see(dialog, "Expected a key of this service, got another.")
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_label("API key")).to_have_value("")
    page.get_by_label("API key").fill("sesame-1/2")
    page.get_by_role("button", name="Connect").click()
    see(lines(page).first, TEXTS[0])

    assert page.evaluate("() => sessionStorage.length") == 1
    assert not [p for p in scripted.paths if "sesame" in p or "c2Vz" in p]
    assert "sesame" not in page.url


def test_escape_leaves_the_question_for_a_key(page: Page, scripted: PageServer) -> None:
    scripted.key = "c2VzYW1lLTEvMg"
    page.click("#main")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#main")).to_have_text("Start")


# Files, and what is done with a transcript


def test_files_are_transcribed_one_after_another(page: Page, scripted: PageServer) -> None:
    files = [recording(4), wav(pcm_of(recording(8))[RATE:])]
    names = ["one.wav", "two.wav"]
    for name, file in zip(names, files, strict=True):
        drop_file(page, name, file)
    expect(lines(page)).to_have_count(2 + 3)
    finished(page)

    assert page.locator(".recording h2").all_inner_texts() == names
    assert [bytes(s.audio) for s in scripted.sessions] == [pcm_of(f) for f in files]


def test_a_file_is_dropped_on_the_page(page: Page) -> None:
    page.evaluate(
        """(data) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], "a.wav"));
            for (const type of ["dragover", "drop"])
                window.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, cancelable: true }));
        }""",
        b64encode(recording(3)).decode(),
    )
    see(lines(page), TEXTS[0])


def test_what_is_no_audio_is_reported_and_the_next_file_goes_on(page: Page) -> None:
    drop_file(page, "notes.txt", b"no audio at all")
    drop_file(page, "talk.wav", recording(3))

    see(lines(page), TEXTS[0])
    see(page.locator(".note").first, "not audio that this browser can read")


def test_a_file_can_be_stopped(page: Page, scripted: PageServer) -> None:
    scripted.speed = 1.0
    drop_file(page, "talk.wav", recording(60))
    drop_file(page, "next.wav", recording(60))
    see(page.locator("#state-detail"), "%")
    page.click("#main")
    finished(page)

    see(page.locator(".note").nth(1), "not transcribed")


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_downloads_are_those_of_the_package(page: Page, form: str, tmp_path: Path) -> None:
    drop_file(page, "my talk.wav", recording(4 * PERIOD_S))
    expect(lines(page)).to_have_count(4)
    finished(page)
    button = {"text": "Download as text", "srt": "SRT", "vtt": "VTT"}[form]
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()

    finals = [final(i, i) for i in range(4)]
    segments = tuple(Segment(f.start_s, f.end_s, f.text) for f in finals)
    write = {"text": to_text, "srt": to_srt, "vtt": to_vtt}[form]  # a cue per segment, however long
    assert download.value.path().read_bytes().decode() == write(Transcript(segments, "en", 0.0))
    assert download.value.suggested_filename == f"my talk.{'txt' if form == 'text' else form}"


def test_the_text_is_copied(page: Page) -> None:
    drop_file(page, "talk.wav", recording(6))
    expect(lines(page)).to_have_count(2)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()

    assert page.evaluate("() => navigator.clipboard.readText()") == f"{TEXTS[0]}\n{TEXTS[1]}"


def test_clear_asks_first(page: Page) -> None:
    drop_file(page, "talk.wav", recording(6))
    expect(lines(page)).to_have_count(2)
    finished(page)
    page.get_by_role("button", name="Clear").click()
    see(page.get_by_role("dialog"), "2 lines go, and cannot be brought back.")
    page.keyboard.press("Escape")
    expect(lines(page)).to_have_count(2)
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("dialog").get_by_role("button", name="Clear").click()

    expect(page.locator(".recording")).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()


# Reading


def test_a_word_shows_its_times_under_the_pointer(page: Page) -> None:
    drop_file(page, "talk.wav", recording(3))
    page.locator(".word", has_text="morning,").hover()

    expect(page.get_by_role("tooltip")).to_have_text("0:00.7 \u2013 0:01.0")
    page.locator("h1").hover()
    expect(page.get_by_role("tooltip")).to_be_hidden()


def test_the_arrow_keys_walk_through_lines_and_words(page: Page) -> None:
    drop_file(page, "talk.wav", recording(6))
    expect(lines(page)).to_have_count(2)
    page.locator(".line").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)

    expect(page.locator(".word:focus")).to_have_text("lamp")
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"^0:03\.7"))
    assert page.locator(".line[tabindex='0']").count() == 1


def test_the_view_follows_until_the_reader_scrolls_up(page: Page, scripted: PageServer) -> None:
    page.set_viewport_size({"width": 800, "height": 500})
    scripted.speed = 12.0
    drop_file(page, "talk.wav", recording(70))
    expect(page.locator(".line time").nth(12)).to_be_attached(timeout=WAIT_S * 1000)
    expect(lines(page).last).to_be_in_viewport()
    page.mouse.move(400, 200)
    page.mouse.wheel(0, -600)
    jump = page.get_by_role("button", name="Jump to live")
    expect(jump).to_be_visible()
    finished(page)
    expect(lines(page).last).not_to_be_in_viewport()
    jump.click()

    expect(lines(page).last).to_be_in_viewport()
    expect(jump).to_be_hidden()


# For everybody


def test_the_keyboard_reaches_everything_in_order_and_focus_is_seen(page: Page) -> None:
    drop_file(page, "talk.wav", recording(3))
    expect(lines(page)).to_have_count(1)
    finished(page)
    reached = []
    page.locator("h1").click()
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.innerText || document.activeElement.id"))
        assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"

    assert reached[:4] == ["Copy", "Text", "SRT", "VTT"]
    assert TEXTS[0] in reached[4]
    assert reached[5:] == ["Start", "language", "Add files", "Clear"]


@pytest.mark.parametrize("key", ["Space", "Enter"])
def test_keys_press_buttons(page: Page, key: str) -> None:
    page.get_by_role("button", name="Start").focus()
    page.keyboard.press(key)
    see(state(page), "Live")
    page.keyboard.press(key)
    finished(page)

    expect(page.get_by_role("button", name="Start")).to_be_focused()


def test_only_finals_are_read_aloud(page: Page) -> None:
    page.click("#main")
    see(lines(page).first, TEXTS[0])

    assert page.locator(".lines").get_attribute("aria-live") == "polite"
    assert page.locator("[aria-live] .partial, .partial[aria-live]").count() == 0


def test_every_control_has_a_name(page: Page) -> None:
    page.click("#main")
    see(lines(page).first, TEXTS[0])
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([type=file]), select, [role=meter]")]
            .filter((e) => !(e.innerText || e.textContent).trim() && !e.labels?.length && !e.ariaLabel)
            .map((e) => e.outerHTML)"""
    )

    assert nameless == []
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # names from the table
    page.click("#main")
    see(page.locator(".unstable"), re.compile(r"\w"))
    see(lines(page).first, TEXTS[0])
    ground = colour(page, "html", "background-color")
    raised = colour(page, ".row", "background-color")

    for on, shown in (
        (ground, (".stable", ".unstable", ".line time", ".partial time", ".link", ".length", "#state-label")),
        (raised, (".field span", ".quiet", ".main.running", "#language")),
    ):
        for selector in shown:
            assert contrast(colour(page, selector), on) >= 4.5, selector


@pytest.mark.parametrize("hovered", [False, True], ids=["away", "hovered"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_main_button_stands_out_in_every_state_and_on_the_way_to_it(
    page: Page, scheme: str, hovered: bool
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # names from the table
    page.hover("#main" if hovered else "h1")
    states = [(running, disabled) for running in (False, True) for disabled in (False, True)]
    for before, after in permutations(states, 2):
        for state in (before, after):
            page.evaluate(
                """([running, disabled]) => {
                    const main = document.getElementById("main");
                    document.getAnimations().forEach((a) => a.finish());
                    main.classList.toggle("running", running);
                    main.ariaDisabled = String(disabled);
                    getComputedStyle(main).color;
                }""",
                state,
            )
        for ms in (0, 35, 70, 105):
            page.evaluate(
                "(ms) => document.getAnimations().forEach((a) => { a.pause(); a.currentTime = ms; })", ms
            )
            bare = after == (True, False) and not hovered  # it has no ground of its own
            ground = colour(page, ".row" if bare else "#main", "background-color")
            found = contrast(colour(page, "#main"), ground)
            assert found >= 4.5, f"{before} to {after} after {ms} ms: {found:.2f}"


@pytest.mark.parametrize("width", [320, 375, 768, 1920])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    drop_file(page, f"{'a long name ' * 6}and{'x' * 60}.wav", recording(6))
    expect(lines(page)).to_have_count(2)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_level_is_one_bar_with_reduced_motion(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.click("#main")
    expect(page.get_by_role("meter")).to_have_attribute("aria-valuenow", re.compile("[1-9]"))

    drop = "() => getComputedStyle(document.querySelector('.drop')).transitionProperty"
    assert page.evaluate(drop) == "none"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(drop) == "opacity"


def colour(page: Page, selector: str, what: str = "color") -> tuple[float, float, float]:
    """A colour that an element has, each part from 0 to 1; mixed ones are told so, plain ones up to 255."""
    found: str = page.locator(selector).first.evaluate("(e, what) => getComputedStyle(e)[what]", what)
    most = 1 if found.startswith("color(") else 255
    red, green, blue = (float(n) / most for n in re.findall(r"[\d.]+", found)[:3])
    return red, green, blue


def contrast(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """WCAG 2.2, contrast ratio."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
