import asyncio
from collections.abc import Iterable

from voxray.serving.client_protocols.base import Closing
from voxray.serving.client_protocols.stream import PlainTextProtocol, StreamProtocol
from voxray.serving.gateway.metrics import Metrics
from voxray.serving.gateway.outbox import Outbox
from voxray.wire import Close, Final, Partial, ServerMessage, render


def partial(text: str) -> Partial:
    return Partial(0, 0.0, 1.0, "", text)


def final(text: str) -> Final:
    return Final(0, 0.0, 1.0, text)


def frames(outbox: Outbox, count: int) -> list[str | Closing]:
    async def read() -> list[str | Closing]:
        return [await asyncio.wait_for(outbox.next_frame(), 5) for _ in range(count)]

    return asyncio.run(read())


def outbox_with(messages: Iterable[ServerMessage], metrics: Metrics | None = None, **limits: int) -> Outbox:
    outbox = Outbox(StreamProtocol(), metrics or Metrics(), **limits)
    assert outbox.put(*messages)
    return outbox


def test_messages_go_out_in_order_and_then_the_closing() -> None:
    metrics = Metrics()
    outbox = outbox_with([final("a"), final("b")], metrics)
    outbox.end(Closing(Close.NORMAL))
    outbox.end(Closing(Close.FULL))

    assert outbox.put(final("late"))
    assert frames(outbox, 3) == [render(final("a")), render(final("b")), Closing(Close.NORMAL)]
    assert metrics.registry.get_sample_value("voxray_messages_out_total") == 2


def test_a_message_that_a_protocol_does_not_write_is_left_out() -> None:
    outbox = Outbox(PlainTextProtocol(), Metrics())
    outbox.put(partial("a"), final(""), final("b"))
    outbox.end(Closing(Close.NORMAL))

    assert frames(outbox, 2) == ["b", Closing(Close.NORMAL)]


def test_a_slow_client_is_spared_the_partials_first() -> None:
    metrics = Metrics()
    messages: list[ServerMessage] = [partial("a" * 200), final("b" * 200), partial("c" * 200), final("d")]
    outbox = outbox_with(messages, metrics, partials_limit=500, limit=10_000)

    assert outbox.put(partial("e" * 400))  # and it is not kept: too much would wait even so
    assert frames(outbox, 2) == [render(final("b" * 200)), render(final("d"))]
    assert metrics.registry.get_sample_value("voxray_partials_dropped_total") == 3


def test_one_that_reads_nothing_is_full_and_stays_bounded() -> None:
    outbox = outbox_with([final("x" * 400)] * 20, partials_limit=500, limit=10_000)
    kept = [outbox.put(final("x" * 400)) for _ in range(100)]

    assert not all(kept)
    assert outbox.size <= 10_000


def test_a_replay_is_kept_whatever_its_size() -> None:
    outbox = Outbox(StreamProtocol(), Metrics(), partials_limit=100, limit=1_000)
    replay = [final(str(n) * 100) for n in range(100)]
    outbox.put_replay(replay)

    assert frames(outbox, 100) == [render(message) for message in replay]


def test_a_message_is_waited_for() -> None:
    async def test() -> None:
        outbox = Outbox(StreamProtocol(), Metrics())
        waiting = asyncio.create_task(outbox.next_frame())
        await asyncio.sleep(0)
        assert not waiting.done()
        outbox.put(final("a"))

        assert await asyncio.wait_for(waiting, 5) == render(final("a"))

    asyncio.run(test())
