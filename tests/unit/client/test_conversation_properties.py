"""Connections lost at any point, sessions kept or lost: the text is that of one connection that held."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.client.scripted import ScriptedServer, ScriptedSession, spoken, words

from voxray.client.conversation import Conversation, ConversationState, Event, Lost
from voxray.wire import (
    Close,
    Done,
    Final,
    Finalize,
    Finalized,
    Partial,
    Ready,
    Reconnect,
    SpeechStart,
    Start,
    Stop,
    parse_client,
    render,
)

RATE = 4_000
START = Start(sample_rate=RATE)
CELL = 8  # bytes of a millisecond
FIRST_CREDIT_S = 0.005
ROOM_S = 0.03


@dataclass
class Say:
    """The user hands over this many more bytes."""

    size: int


@dataclass
class Flush:
    """The user asks for finals."""


@dataclass
class Carry:
    """So many messages reach the server."""

    count: int


@dataclass
class Work:
    """The server decodes this many milliseconds, and acknowledges or not."""

    milliseconds: int
    acknowledge: bool


@dataclass
class Deliver:
    """So many messages reach the client."""

    count: int


@dataclass
class Lose:
    """The connection goes, and the session with it or not, after so many of its last messages came."""

    kept: bool
    delivered: int
    how: Literal["closed", "reconnect"]


Step = Say | Flush | Carry | Work | Deliver | Lose

STEP = st.one_of(
    st.builds(Say, st.integers(1, 120)),
    st.builds(Flush),
    st.builds(Carry, st.integers(1, 6)),
    st.builds(Work, st.integers(0, 12), st.booleans()),
    st.builds(Deliver, st.integers(1, 8)),
    st.builds(Lose, st.booleans(), st.integers(0, 8), st.sampled_from(["closed", "reconnect"])),
)
STEPS = st.integers(0, 60).flatmap(lambda n: st.lists(STEP, min_size=n, max_size=n))
NUMBERS = st.lists(st.sampled_from([0, 0, 1, 1]), min_size=40, max_size=100).map(
    lambda cells: [i + 1 if cell else 0 for i, cell in enumerate(cells)]
)


@dataclass
class Stage:
    """A client, a server, and the wires between them."""

    numbers: list[int]
    client: Conversation = field(default_factory=lambda: Conversation(START, FIRST_CREDIT_S))
    server: ScriptedServer = field(default_factory=lambda: ScriptedServer(room_s=ROOM_S))
    session: ScriptedSession | None = None
    up: deque[bytes | str] = field(default_factory=deque)
    down: deque[str] = field(default_factory=deque)
    events: list[Event] = field(default_factory=list)
    added: int = 0
    flushes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.audio = spoken(self.numbers, RATE)
        self.connect()

    def connect(self) -> None:
        start = parse_client(self.client.opened())
        assert isinstance(start, Start)
        self.session = self.server.open(start)
        self.allowed = self.session.received + round(FIRST_CREDIT_S * RATE * 2)
        self.up.clear()
        self.down.clear()
        self.collect()

    def collect(self) -> None:
        assert self.session
        self.down += self.session.messages
        self.session.messages.clear()

    def play(self, step: Step) -> None:
        match step:
            case Say():
                self.client.add(self.audio[self.added : self.added + step.size])
                self.added = min(self.added + step.size, len(self.audio))
            case Flush():
                self.client.finalize()
                self.flushes.append(self.added)
            case Carry():
                self.carry(step.count)
            case Work():
                self.work(step)
            case Deliver():
                self.deliver(step.count)
            case Lose():
                self.lose(step)

    def carry(self, messages: int) -> None:
        while (message := self.client.message_to_send()) is not None:
            self.up.append(message)
        for _ in range(min(messages, len(self.up))):
            self.arrive(self.up.popleft())

    def arrive(self, message: bytes | str) -> None:
        assert self.session
        if isinstance(message, bytes):
            at = self.session.received
            assert message == self.audio[at : at + len(message)]  # what is replayed is what was added
            self.session.receive(message)
            assert self.session.received <= self.allowed
            return
        parsed = parse_client(message)
        assert isinstance(parsed, Finalize | Stop)
        self.session.mark(stop=isinstance(parsed, Stop))
        self.collect()

    def work(self, step: Work) -> None:
        assert self.session
        self.session.advance(step.milliseconds)
        if step.acknowledge:
            self.session.acknowledge()
            self.allowed = max(self.allowed, self.session.decoded + self.session.room)
        self.collect()

    def deliver(self, messages: int) -> None:
        for _ in range(min(messages, len(self.down))):
            for event in self.client.receive_message(self.down.popleft()):
                self.check(event)
                self.events.append(event)

    def lose(self, step: Lose) -> None:
        assert self.session
        self.deliver(step.delivered)
        if not step.kept:
            del self.server.sessions[self.session.id]
        if self.client.state is not ConversationState.DONE:
            lost = None
            if step.how == "reconnect":
                (lost,) = self.client.receive_message(render(Reconnect(self.session.token)))
            assert isinstance(lost or self.client.closed(1006), Lost | None)
        if self.client.state is ConversationState.LOST:
            self.connect()

    def check(self, event: Event) -> None:
        """Finals count up; an answer to a finalize comes after the finals of all audio before it."""
        if isinstance(event, Final):
            assert event.segment == len(self.finals)
        if isinstance(event, Finalized):
            answered = sum(isinstance(e, Finalized) for e in self.events)
            before = self.flushes[answered] // CELL
            assert self.text.startswith(words(self.numbers[:before]))

    @property
    def finals(self) -> list[Final]:
        return [e for e in self.events if isinstance(e, Final)]

    @property
    def text(self) -> str:
        return " ".join(f.text for f in self.finals)

    def finish(self, steps: list[Step]) -> None:
        """The rest of the audio, a stop, more `steps`, then all up to `done` without further losses."""
        self.play(Say(len(self.audio)))
        self.client.stop()
        for step in steps:
            if not isinstance(step, Say | Flush) and self.client.state is not ConversationState.DONE:
                self.play(step)
        for _ in range(60 + len(self.numbers)):
            self.carry(1000)
            self.work(Work(10, True))
            self.deliver(1000)
        assert self.client.state is ConversationState.DONE
        assert self.client.closed(Close.NORMAL) is None


@settings(max_examples=300)
@given(NUMBERS, STEPS, STEPS)
def test_losses_do_not_show_in_the_text(numbers: list[int], steps: list[Step], later: list[Step]) -> None:
    stage = Stage(numbers)
    for step in steps:
        stage.play(step)
    stage.finish(later)

    assert stage.text == words(numbers)
    assert sum(isinstance(e, Finalized) for e in stage.events) == len(stage.flushes)
    assert sum(isinstance(e, Done) for e in stage.events) == 1
    _check_stable(stage.events)


def _check_stable(events: list[Event]) -> None:
    """A segment begins once and `stable` only grows into its final, but anew where a session was lost."""
    stable, segment, anew = "", -1, False
    for event in events:
        match event:
            case Ready():
                anew = anew or not event.resumed
            case SpeechStart():
                assert event.segment == segment + 1 or (event.segment == segment and anew)
                stable, segment, anew = "", event.segment, False
            case Partial() | Final():
                text = event.stable if isinstance(event, Partial) else event.text
                assert event.segment == segment
                assert text.startswith(stable)
                stable = text
