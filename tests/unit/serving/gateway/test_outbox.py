import asyncio
from collections.abc import Iterable

from voxray.serving.gateway.metrics import MESSAGES_OUT, PARTIALS_DROPPED, Metrics
from voxray.serving.gateway.outbox import Closing, Outbox
from voxray.wire import Close, Final, Partial, render


def partial(text: str) -> str:
    return render(Partial(0, 0.0, 1.0, "", text))


def final(text: str) -> str:
    return render(Final(0, 0.0, 1.0, text))


def taken(outbox: Outbox, count: int) -> list[str | Closing]:
    async def take() -> list[str | Closing]:
        return [await asyncio.wait_for(outbox.take(), 5) for _ in range(count)]

    return asyncio.run(take())


def full_of(messages: Iterable[str], watch: Metrics | None = None, **limits: int) -> Outbox:
    outbox = Outbox(watch or Metrics(), **limits)
    for message in messages:
        assert outbox.put(message)
    return outbox


def test_messages_go_out_in_order_and_then_the_closing() -> None:
    watch = Metrics()
    outbox = full_of(["a", "b"], watch)
    outbox.end(Closing(Close.NORMAL))
    outbox.end(Closing(Close.FULL))

    assert outbox.put("late")
    assert taken(outbox, 3) == ["a", "b", Closing(Close.NORMAL)]
    assert watch.value(MESSAGES_OUT) == 2


def test_a_slow_client_is_spared_the_partials_first() -> None:
    watch = Metrics()
    limits = {"spare": 500, "full": 10_000}
    outbox = full_of([partial("a" * 200), final("b" * 200), partial("c" * 200), final("d")], watch, **limits)

    assert outbox.put(partial("e" * 400))  # and it is not kept: too much would wait even so
    assert taken(outbox, 2) == [final("b" * 200), final("d")]
    assert watch.value(PARTIALS_DROPPED) == 3


def test_one_that_reads_nothing_is_full_and_stays_bounded() -> None:
    outbox = full_of([final("x" * 400)] * 20, spare=500, full=10_000)
    refused = [outbox.put(final("x" * 400)) for _ in range(100)]

    assert not all(refused)
    assert outbox.size <= 10_000


def test_what_a_client_lacks_is_admitted_whatever_its_size() -> None:
    outbox = Outbox(Metrics(), spare=100, full=1_000)
    lacking = tuple(final(str(n) * 100) for n in range(100))
    outbox.admit(lacking)

    assert taken(outbox, 100) == list(lacking)


def test_a_message_is_waited_for() -> None:
    async def test() -> None:
        outbox = Outbox(Metrics())
        waiting = asyncio.create_task(outbox.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.put("a")

        assert await asyncio.wait_for(waiting, 5) == "a"

    asyncio.run(test())
