"""Connections, gateways, transcribers and hosts are lost at any point: the text is what was said."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.scripted_engine import Script, ScriptedDetector, ScriptedTranscriber, ScriptedWord

from voxray.client.conversation import Conversation, ConversationState, Event
from voxray.serving.protocol import Answer, Call, Control, Input, Job, Opened, Opening, Output, Reply
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import Decoding, Limits
from voxray.streaming.events import DecodeMode
from voxray.wire import Done, Final, Finalized, Partial, Ready, Start, Stop, parse_client, render

GATEWAYS = ("left", "right")
TICK_S = 0.05
MS = 16  # samples


@dataclass
class Live:
    """For so many tenths of a second all goes well."""

    tenths: int


@dataclass
class Brink:
    """All goes well until a final is with the transcriber, or on its way to the client."""

    decoded: bool


@dataclass
class Say:
    """The user says so many bytes more, and may flush at the next pause between words."""

    size: int
    flush: bool


@dataclass
class Tick:
    """A gateway calls; `twice`: its first call failed on the way back. So many messages reach the client."""

    gateway: str
    twice: bool
    delivered: int


@dataclass
class Decode:
    """The transcriber takes jobs and answers `count` of what it has, the newest first or last."""

    count: int
    newest: bool
    fails: bool


@dataclass
class LoseTranscriber:
    """Another takes its place."""


@dataclass
class Lose:
    """A connection goes with the last of its messages; its gateway says so, or not. It comes back."""

    notified: bool
    delivered: int
    gateway: str


@dataclass
class LoseHost:
    """The host dies, after so many messages of its last reply came."""

    delivered: int
    gateway: str


@dataclass
class Wait:
    """Nobody calls for a while."""

    seconds: float


Step = Live | Brink | Say | Tick | Decode | LoseTranscriber | Lose | LoseHost | Wait
GATEWAY = st.sampled_from(GATEWAYS)
STEP = st.one_of(
    st.builds(Live, st.integers(1, 30)),
    st.builds(Brink, st.booleans()),
    st.builds(Brink, st.booleans()),
    st.builds(Say, st.sampled_from([1, 319, 3_200, 32_000]), st.integers(0, 9).map(lambda n: n == 0)),
    st.builds(Say, st.sampled_from([6_400, 64_000]), st.just(False)),
    st.builds(Tick, GATEWAY, st.booleans(), st.integers(0, 9)),
    st.builds(Decode, st.integers(0, 3), st.booleans(), st.integers(0, 9).map(lambda n: n == 0)),
    st.builds(LoseTranscriber),
    st.builds(Lose, st.booleans(), st.integers(0, 4), GATEWAY),
    st.builds(LoseHost, st.integers(0, 4), GATEWAY),
    st.builds(Wait, st.sampled_from([0.3, 2.5, 70.0])),
)
STEPS = st.integers(0, 60).flatmap(lambda n: st.lists(STEP, min_size=n, max_size=n))


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Utterances of distinct words; times are whole milliseconds, as they are on the wire."""
    words, at = list[ScriptedWord](), draw(st.integers(0, 1_000)) * MS
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(1, 14))):
            length = draw(st.integers(100, 700)) * MS
            words.append(ScriptedWord(f"word{len(words)}", at, at + length))
            at += length + draw(st.integers(0, 300)) * MS
        at += draw(st.integers(3_000, 3_500)) * MS
    return Script(tuple(words), at)


@dataclass
class Connection:
    """A client's, to a host by way of a gateway."""

    gateway: str
    opened: Opened
    up: list[bytes | Control] = field(default_factory=list)
    down: list[str] = field(default_factory=list)  # not delivered yet


class World:
    """One client, two gateways, one host at a time, one transcriber."""

    def __init__(self, script: Script, gateway: str) -> None:
        self.script, self.audio = script, script.pcm().tobytes()
        self.transcriber, self.now_s = ScriptedTranscriber(script), 50.0
        self.client = Conversation(Start())
        self.events = list[Event]()
        self.sent_until = self.flushes = 0
        self.secrets, self.hosts = count(), count(1)
        self.calls = {name: count(1) for name in GATEWAYS}
        self.taken = list[Job]()
        self.host = self.new_host()
        self.connection: Connection | None = None
        self.connect(gateway)

    def new_host(self) -> SessionHost:
        """Another host; what was asked by the one before is answered to nobody."""
        self.taken.clear()
        self.calls = {name: count(1) for name in GATEWAYS}
        return SessionHost(
            next(self.hosts),
            Limits(undecoded_s=20.0),
            Decoding(),
            ScriptedDetector,
            model="scripted",
            secret=lambda: f"{next(self.secrets):032x}",
        )

    # What may happen.

    def step(self, step: Step) -> None:
        self.now_s += TICK_S
        match step:
            case Say(size, flush):
                self.say(size, flush)
            case Live(tenths):
                for _ in range(tenths):
                    self.say(3_200, flush=False)
                    self.turn()
            case Brink(decoded):
                self.approach(decoded)
            case Tick(gateway, twice, delivered):
                self.tick(gateway, twice)
                self.deliver(delivered)
            case Decode(count_, newest, fails):
                self.decode(count_, newest, fails)
            case LoseTranscriber():
                self.taken.clear()
                self.host.requeue(self.now_s)
            case Lose(notified, delivered, gateway):
                self.lose(notified, delivered, gateway)
            case LoseHost(delivered, gateway):
                self.host = self.new_host()
                self.disconnect(delivered)
                self.connect(gateway)
            case Wait(seconds):
                self.now_s += seconds
                self.host.sweep(self.now_s)

    def say(self, size: int, flush: bool) -> None:
        until = min(self.sent_until + size, len(self.audio))
        if flush:
            until = 2 * max([w.end for w in self.script.words if 2 * w.start < until] + [until // 2])
        self.client.add(self.audio[self.sent_until : until])
        self.sent_until = max(self.sent_until, until)
        if flush:
            self.client.finalize()
            self.flushes += 1

    def tick(self, gateway: str, twice: bool) -> None:
        connection = self.connection
        inputs = list[Input]()
        if connection and connection.gateway == gateway:
            connection.up += self.sent()
            key = connection.opened.session, connection.opened.epoch
            inputs, connection.up = [Input(*key, tuple(connection.up))], []
        call = Call(gateway, next(self.calls[gateway]), tuple(inputs))
        reply = self.host.tick(call, self.now_s)
        if twice:
            assert self.host.tick(call, self.now_s + 1.0) == reply
        if connection and connection.gateway == gateway:
            self.receive(connection, reply)

    def receive(self, connection: Connection, reply: Reply) -> None:
        mine = [o for o in reply.outputs if is_for(o, connection)]
        for output in mine:
            connection.down += map(render, output.messages)
        if any(o.close is not None for o in mine):
            self.disconnect(len(connection.down))
            if self.client.state is not ConversationState.DONE:
                self.connect(connection.gateway)

    def decode(self, count_: int, newest: bool, fails: bool) -> None:
        self.taken += self.host.jobs(self.now_s)
        for _ in range(min(count_, len(self.taken))):
            job = self.taken.pop(-1 if newest else 0)
            failed = Answer(job.session, job.number, None)
            may_fail = fails and any(j.session == job.session for j in self.taken)
            self.host.receive_answers([failed if may_fail else self.transcriber(job)], self.now_s)

    def lose(self, notified: bool, delivered: int, gateway: str) -> None:
        connection = self.connection
        self.disconnect(delivered)
        if notified and connection:
            gone = Input(connection.opened.session, connection.opened.epoch, left=True)
            self.host.tick(
                Call(connection.gateway, next(self.calls[connection.gateway]), (gone,)), self.now_s
            )
        self.connect(gateway)

    # The client.

    def sent(self) -> Iterator[bytes | Control]:
        while (message := self.client.message_to_send()) is not None:
            if isinstance(message, bytes):
                yield message
            else:
                yield Control(stop=isinstance(parse_client(message), Stop))

    def deliver(self, most: int) -> None:
        if self.connection:
            down = self.connection.down
            self.connection.down = down[most:]
            for text in down[:most]:
                self.events += self.client.receive_message(text)

    def disconnect(self, delivered: int) -> None:
        self.deliver(delivered)
        self.connection = None
        self.client.closed(1006)

    def connect(self, gateway: str) -> None:
        if self.client.state is not ConversationState.LOST:
            return
        start = parse_client(self.client.opened())
        assert isinstance(start, Start)
        opened = self.host.open(Opening(gateway, start), self.now_s)
        assert isinstance(opened, Opened)
        event("resumed" if opened.epoch > 1 else f"began at a segment {start.have_segment >= 0}")
        self.connection = Connection(gateway, opened, down=[render(m) for m in opened.messages[1:]])
        self.events += self.client.receive_message(render(opened.messages[0]))

    def finish(self) -> None:
        """The rest is said, and everything works from now on."""
        while self.sent_until < len(self.audio):
            self.say(16_000, flush=False)
            self.turn()
        self.client.stop()
        for _ in range(2_000):
            if self.client.state is ConversationState.DONE:
                return
            self.turn()
        raise AssertionError("not done after 2,000 turns")

    def turn(self) -> None:
        """A tenth of a second in which all goes well."""
        self.call()
        self.deliver(9_999)
        self.decode(9, newest=False, fails=False)

    def call(self) -> None:
        self.now_s += 2 * TICK_S
        self.host.sweep(self.now_s)
        for gateway in GATEWAYS:
            self.tick(gateway, twice=False)

    def approach(self, decoded: bool) -> None:
        """As `turn`, until a final is decoded and not delivered, or asked for and not decoded."""
        for _ in range(60):
            self.say(3_200, flush=False)
            self.call()
            if decoded and self.connection and any('"final"' in text for text in self.connection.down):
                return
            self.deliver(9_999)
            self.taken += self.host.jobs(self.now_s)
            if not decoded and any(job.mode is DecodeMode.FINAL for job in self.taken):
                return
            self.decode(9, newest=False, fails=False)


def is_for(output: Output, connection: Connection) -> bool:
    return (output.session, output.epoch) == (connection.opened.session, connection.opened.epoch)


def check_told(events: list[Event]) -> None:
    """Segments count up by one, each has one final, and what was stable of one stays unless heard anew."""
    segment, stable = -1, ""
    for e in events:
        if isinstance(e, Ready):
            stable = stable if e.resumed else ""
        elif isinstance(e, Partial):
            assert e.segment == segment + 1
            assert e.stable.startswith(stable)
            stable = e.stable
        elif isinstance(e, Final):
            assert e.segment == segment + 1
            assert e.text.startswith(stable)
            segment, stable = segment + 1, ""
    assert isinstance(events[-1], Done)
    assert events[-1].segments == segment + 1


def texts(events: list[Any]) -> str:
    return " ".join(e.text for e in events if isinstance(e, Final) and e.text)


@settings(max_examples=150)
@given(scripts(), STEPS, GATEWAY)
def test_no_word_is_lost_or_doubled_whatever_is_lost(script: Script, steps: list[Step], gateway: str) -> None:
    world = World(script, gateway)
    for step in steps:
        world.step(step)
    world.finish()

    assert texts(world.events) == script.text
    check_told(world.events)
    assert sum(isinstance(e, Finalized) for e in world.events) == world.flushes
