import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.unit.serving.gateway.scripted import ScriptedDirectory, ScriptedHost

from voxray.serving.gateway.host_client import HostClients, SessionOwner, TickSchedule
from voxray.serving.gateway.metrics import Metrics
from voxray.serving.protocol import Control, Opened, Opening, Output, Refused
from voxray.wire import Close, Final, Finalized, ServerMessage, Start

FAST = TickSchedule(tick_s=0.002, timeout_s=0.2, placement_timeout_s=0.2)


class Peer:
    """A connection without a socket."""

    def __init__(self) -> None:
        self.closed = False
        self.got: Opened | None = None
        self.host: SessionOwner | None = None
        self.refusal: Refused | None = None
        self.to_send: list[bytes | Control] = []
        self.outputs: list[Output] = []
        self.is_lost = False

    def session_opened(self, opened: Opened, host: SessionOwner) -> None:
        self.got, self.host = opened, host

    def session_refused(self, refused: Refused) -> None:
        self.refusal = refused

    def next_input(self) -> tuple[bytes | Control, ...]:
        batch, self.to_send = tuple(self.to_send), []
        return batch

    def receive_output(self, output: Output) -> None:
        self.outputs.append(output)

    def restart(self) -> None:
        self.is_lost = True

    def leave(self) -> None:
        assert self.got
        assert self.host
        self.closed = True
        self.host.leave(self.got.session, self.got.epoch)

    @property
    def session(self) -> str:
        assert self.got
        return self.got.session

    @property
    def close(self) -> Close | None:
        return self.outputs[-1].close if self.outputs else None

    def messages(self) -> list[ServerMessage]:
        return [message for output in self.outputs for message in output.messages]


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Let the loop go round until `condition` holds."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.001)


def count(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


def clients_of(*hosts: ScriptedHost, metrics: Metrics | None = None) -> HostClients:
    return HostClients("g", ScriptedDirectory(*hosts), FAST, metrics or Metrics())


async def peer_on(clients: HostClients, start: Start | None = None) -> Peer:
    peer = Peer()
    clients.open(start or Start(), peer)
    await until(lambda: peer.got or peer.refusal)
    return peer


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_pause_is_what_is_left_of_the_tick() -> None:
    schedule = TickSchedule(tick_s=0.05)

    assert schedule.pause_s(0.0) == 0.05
    assert schedule.pause_s(0.01) == pytest.approx(0.04)
    assert schedule.pause_s(0.025) == pytest.approx(0.025)
    assert schedule.pause_s(0.1) == pytest.approx(0.1)  # the next begins at twice the length of this one


def test_many_clients_are_one_call_a_tick() -> None:
    async def test() -> None:
        host, metrics = ScriptedHost(), Metrics()
        clients = clients_of(host, metrics=metrics)
        peers = [await peer_on(clients) for _ in range(40)]
        host.gate.clear()
        await until(lambda: host.running)
        before = len(host.calls)
        for n, peer in enumerate(peers):
            peer.to_send = [bytes([n]), Control(stop=False)]
        host.gate.set()
        await until(lambda: all(Finalized() in peer.messages() for peer in peers))

        assert len(host.calls[before].inputs) == 40
        assert host.most_running == 1
        assert count(metrics, "voxray_actor_calls_total") == len(host.calls)
        assert {host.audio_of(peer.session) for peer in peers} == {bytes([n]) for n in range(40)}

    run(test)


def test_calls_are_numbered_and_made_also_with_nothing_to_send() -> None:
    async def test() -> None:
        host = ScriptedHost()
        await peer_on(clients_of(host))
        await until(lambda: len(host.calls) > 5)

        assert [call.number for call in host.calls] == list(range(1, len(host.calls) + 1))
        assert not any(call.inputs for call in host.calls)

    run(test)


def test_a_failed_call_is_made_again_with_its_number() -> None:
    async def test() -> None:
        host, metrics = ScriptedHost(), Metrics()
        peer = await peer_on(clients_of(host, metrics=metrics))
        host.failing = 1
        peer.to_send = [b"abc", Control(stop=True)]
        await until(lambda: peer.close is not None)
        numbers = [call.number for call in host.calls]
        twice = {n for n in numbers if numbers.count(n) > 1}

        assert len(twice) == 1
        assert host.audio_of(peer.session) == b"abc"  # heard once: the host knew the number
        assert len([m for m in peer.messages() if isinstance(m, Final)]) == 1
        assert count(metrics, "voxray_actor_calls_repeated_total") == 1
        assert not peer.is_lost

    run(test)


def test_a_host_that_fails_twice_is_lost() -> None:
    async def test() -> None:
        host, metrics = ScriptedHost(), Metrics()
        clients = clients_of(host, metrics=metrics)
        peers = [await peer_on(clients) for _ in range(3)]
        host.failing = 2
        await until(lambda: all(peer.is_lost for peer in peers))

        assert count(metrics, "voxray_hosts_lost_total") == 1

    run(test)


def test_a_host_that_does_not_answer_is_lost_and_numbers_go_on_if_it_is_found_alive() -> None:
    async def test() -> None:
        host = ScriptedHost()
        clients = clients_of(host)
        peer = await peer_on(clients)
        host.gate.clear()
        await until(lambda: peer.is_lost)
        last = host.calls[-1].number
        host.gate.set()
        await peer_on(clients)
        await until(lambda: host.calls[-1].number > last)

        assert next(call.number for call in host.calls if call.number > last) == last + 1

    run(test)


def test_a_host_learns_which_clients_left_and_then_called_no_more() -> None:
    async def test() -> None:
        host = ScriptedHost()
        clients = clients_of(host)
        peer = await peer_on(clients)
        peer.to_send = [b"queued"]
        peer.leave()
        await asyncio.wait_for(clients.wait_until_idle(), 5)
        inputs = [given for call in host.calls for given in call.inputs]

        assert [given.left for given in inputs] == [True]
        assert not host.sessions[peer.session].present
        calls = len(host.calls)
        await peer_on(clients)
        await until(lambda: len(host.calls) > calls)
        assert [call.number for call in host.calls] == list(range(1, len(host.calls) + 1))

    run(test)


def test_a_host_client_that_no_connection_needs_is_forgotten() -> None:
    async def test() -> None:
        hosts = [ScriptedHost(number) for number in range(1, 5)]
        directory = ScriptedDirectory(*hosts)
        clients = HostClients("g", directory, FAST, Metrics())
        for host in hosts:
            (await peer_on(clients)).leave()
            await asyncio.wait_for(clients.wait_until_idle(), 5)
            host.dead = True
        hosts[-1].dead = False
        living = await peer_on(clients)

        assert clients.hosts == {f"host-{hosts[-1].number}"}
        assert living.got

    run(test)


@pytest.mark.parametrize("resumes", [False, True])
def test_a_name_that_another_host_has_now_leads_to_that_host(resumes: bool) -> None:
    async def test() -> None:
        died, next_ = ScriptedHost(1), ScriptedHost(1)
        directory = ScriptedDirectory(died)
        clients = HostClients("g", directory, FAST, Metrics())
        first = await peer_on(clients)
        first.leave()
        await asyncio.wait_for(clients.wait_until_idle(), 5)
        died.dead = True
        directory.hosts = {1: next_}
        peer = await peer_on(clients, Start(session=first.session, resume_token="t") if resumes else None)

        assert peer.session in next_.sessions

    run(test)


def test_hosts_that_failed_or_were_full_are_not_tried_again_for_the_same_session() -> None:
    async def test() -> None:
        dead, full, living = ScriptedHost(1), ScriptedHost(2), ScriptedHost(3)
        dead.dead = True
        full.refusal = Refused(Close.FULL, "full", "expected room here, got none.")
        directory = ScriptedDirectory(dead, full, living)
        directory.late = True
        peer = await peer_on(HostClients("g", directory, FAST, Metrics()))

        assert peer.session.startswith("3.")
        assert len(full.openings) == 1

    run(test)


def test_a_resume_at_a_dead_host_does_not_begin_anew_there() -> None:
    async def test() -> None:
        hosts = [ScriptedHost(number) for number in range(1, 5)]
        for host in hosts[:3]:
            host.dead = True
        directory = ScriptedDirectory(*hosts)
        directory.late = True
        start = Start(session=f"1.{'0' * 32}", resume_token="t")
        peer = await peer_on(HostClients("g", directory, FAST, Metrics()), start)

        assert peer.session.startswith("4.")

    run(test)


def test_a_client_that_leaves_during_placement_leaves_no_session_behind() -> None:
    async def test() -> None:
        host = ScriptedHost()
        clients = clients_of(host)
        host.gate.clear()
        peer = Peer()
        clients.open(Start(), peer)
        peer.closed = True
        host.gate.set()
        await until(lambda: host.sessions and not any(s.present for s in host.sessions.values()))

    run(test)


def test_a_session_that_no_client_waits_for_is_left() -> None:
    async def test() -> None:
        host = ScriptedHost()
        await peer_on(clients_of(host))
        orphan = await host.open(Opening("g", Start()))
        assert isinstance(orphan, Opened)
        await until(lambda: not host.sessions[orphan.session].present)

    run(test)


def test_a_reply_may_overtake_the_answer_to_open() -> None:
    class Slow(ScriptedHost):
        """The session is there, and ticked for, before `open` answers."""

        async def open(self, opening: Opening) -> Opened | Refused:
            answer = await super().open(opening)
            if len(self.openings) == 2:
                self.last.say(Finalized())
                calls = len(self.calls)
                await until(lambda: len(self.calls) > calls + 2)
            return answer

        @property
        def last(self) -> Any:
            return list(self.sessions.values())[-1]

    async def test() -> None:
        clients = clients_of(Slow())
        await peer_on(clients)
        peer = await peer_on(clients)

        assert peer.messages() == [Finalized()]

    run(test)


def test_a_session_is_looked_for_where_it_is() -> None:
    async def test() -> None:
        first, second = ScriptedHost(1), ScriptedHost(2)
        directory = ScriptedDirectory(second, first)
        clients = HostClients("g", directory, FAST, Metrics())
        there = await peer_on(HostClients("h", ScriptedDirectory(first), FAST, Metrics()))
        assert there.got
        start = Start(session=there.session, resume_token=there.got.resume_token)
        back = await peer_on(clients, start)

        assert back.session == there.session
        assert back.got
        assert back.got.epoch == 2
        assert directory.asked == [1]
        await until(lambda: there.close is Close.RESUMED_ELSEWHERE)

    run(test)


@pytest.mark.parametrize("number", [1, 9])
def test_where_its_host_is_gone_a_session_begins_anew(number: int) -> None:
    async def test() -> None:
        dead, living = ScriptedHost(1), ScriptedHost(2)
        dead.dead = True
        start = Start(session=f"{number}.{'0' * 32}", resume_token="t", from_byte=64, have_segment=4)
        peer = await peer_on(clients_of(dead, living), start)

        assert peer.session.startswith("2.")
        assert living.openings[0].start.from_byte == 64

    run(test)


def test_where_its_host_is_full_a_session_that_is_not_there_begins_elsewhere() -> None:
    async def test() -> None:
        full, other = ScriptedHost(1), ScriptedHost(2)
        full.refusal = Refused(Close.FULL, "full", "expected room here, got none.")
        start = Start(session=f"1.{'0' * 32}", resume_token="t")
        peer = await peer_on(HostClients("g", ScriptedDirectory(other, full), FAST, Metrics()), start)

        assert peer.session.startswith("2.")

    run(test)


def test_a_service_without_room_is_full_and_one_without_hosts_unavailable() -> None:
    async def test() -> None:
        full = ScriptedDirectory(ScriptedHost())
        full.full = True
        silent = [ScriptedHost(number) for number in range(3)]
        for host in silent:
            host.gate.clear()
        peers = [await peer_on(HostClients("g", full, FAST, Metrics())), await peer_on(clients_of(*silent))]

        assert [p.refusal and (p.refusal.close, p.refusal.code) for p in peers] == [
            (Close.FULL, "full"),
            (Close.FULL, "unavailable"),
        ]

    run(test)


def test_what_a_host_refuses_is_refused() -> None:
    async def test() -> None:
        host = ScriptedHost()
        host.refusal = Refused(Close.NOT_AUDIO, "not_audio", "expected audio, got none.")

        assert (await peer_on(clients_of(host))).refusal == host.refusal

    run(test)
