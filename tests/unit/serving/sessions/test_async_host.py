"""A host that gateways and a transcriber share on one event loop."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.small_model import SMALL_MODEL_CLIPS

from voxray.audio import decode
from voxray.serving.audio_input.voice_activity import SileroModel
from voxray.serving.protocol import (
    Answer,
    Call,
    Control,
    Input,
    Job,
    ModelsInUse,
    Opened,
    Opening,
    Preload,
    Refused,
    Reply,
)
from voxray.serving.sessions.async_host import AsyncHost
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import Decoding, Limits
from voxray.streaming.events import Hypothesis, HypothesisWord
from voxray.wire import Final, Start

HYPOTHESIS = Hypothesis((HypothesisWord(" Hello", 0.0, 0.5),), "en", -0.1, 0.0, 1.0)


@pytest.fixture(scope="module")
def spoken() -> bytes:
    """One sentence, as a client sends it."""
    return decode(min(SMALL_MODEL_CLIPS.glob("*.ogg"))).tobytes()


def run(story: Callable[[AsyncHost], Awaitable[None]]) -> None:
    async def limited() -> None:
        host = AsyncHost(SessionHost(1, Limits(), Decoding(), SileroModel().detector, model="m"))
        await asyncio.wait_for(story(host), 30)

    asyncio.run(limited())


async def speak(host: AsyncHost, speech: bytes, *, gateway: str = "g") -> Opened:
    """A client that says something and stops."""
    opened = await host.open(Opening(gateway, Start()))
    assert isinstance(opened, Opened)
    items = (speech, Control(stop=True))
    await host.tick(Call(gateway, 1, (Input(opened.session, opened.epoch, items),)))
    return opened


async def handed_out(host: AsyncHost, lease: int) -> list[Job]:
    while (jobs := await host.next_jobs(lease)) == []:
        pass
    assert jobs is not None
    return [job for job in jobs if isinstance(job, Job)]


async def stop(host: AsyncHost, opened: Opened | Refused) -> None:
    assert isinstance(opened, Opened)
    await host.tick(Call("g", 1, (Input(opened.session, opened.epoch, (Control(stop=True),)),)))


def test_next_jobs_waits_for_work(spoken: bytes) -> None:
    async def story(host: AsyncHost) -> None:
        waiting = asyncio.create_task(handed_out(host, host.new_lease()))
        await asyncio.sleep(0)
        assert not waiting.done()

        await speak(host, spoken)

        assert await waiting

    run(story)


def test_a_model_is_loaded_before_the_first_window_comes() -> None:
    async def story(host: AsyncHost) -> None:
        waiting = asyncio.create_task(host.next_jobs(host.new_lease()))
        await asyncio.sleep(0)

        opened = await host.open(Opening("g", Start(model="other")))

        assert isinstance(opened, Opened)
        assert await waiting == [ModelsInUse(frozenset({"other"})), Preload(opened.session, "other")]

    run(story)


def test_the_models_of_live_sessions_are_told_when_they_change_and_to_each_new_lease() -> None:
    async def story(host: AsyncHost) -> None:
        lease = host.new_lease()
        opened = [await host.open(Opening("g", Start(model=model))) for model in ("a", "a", "b", None)]
        first = await host.next_jobs(lease)
        lease = host.new_lease()
        again = await host.next_jobs(lease)
        await host.open(Opening("g", Start(model="a")))
        unchanged = await host.next_jobs(lease)
        await stop(host, opened[2])
        changed = await host.next_jobs(lease)

        in_use = ModelsInUse(frozenset({"a", "b"}))
        assert first
        assert again
        assert unchanged
        assert [first[0], again[0]] == [in_use, in_use]
        assert in_use not in unchanged
        assert changed == [ModelsInUse(frozenset({"a"}))]

    run(story)


def test_a_new_lease_ends_the_old_one_and_gets_its_jobs(spoken: bytes) -> None:
    async def story(host: AsyncHost) -> None:
        old = host.new_lease()
        await speak(host, spoken)
        jobs = await handed_out(host, old)

        new = host.new_lease()

        assert await host.next_jobs(old) is None
        assert [j.pcm for j in await handed_out(host, new)] == [j.pcm for j in jobs]

    run(story)


def test_next_jobs_of_an_old_lease_returns_when_a_new_one_begins() -> None:
    async def story(host: AsyncHost) -> None:
        waiting = asyncio.create_task(host.next_jobs(host.new_lease()))
        await asyncio.sleep(0)

        host.new_lease()

        assert await waiting is None

    run(story)


def test_answers_under_an_old_lease_come_too_late(spoken: bytes) -> None:
    async def story(host: AsyncHost) -> None:
        old = host.new_lease()
        await speak(host, spoken)
        (job,) = await handed_out(host, old)
        new = host.new_lease()

        await host.deliver(old, [Answer(job.session, job.number, HYPOTHESIS)])
        assert not finals(await host.tick(Call("g", 2)))
        for again in await handed_out(host, new):
            await host.deliver(new, [Answer(again.session, again.number, HYPOTHESIS)])

        assert len(finals(await host.tick(Call("g", 3)))) == 1

    run(story)


def finals(reply: Reply) -> list[Final]:
    return [m for o in reply.outputs for m in o.messages if isinstance(m, Final)]
