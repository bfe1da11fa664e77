"""What crosses the borders between gateway, buffer actors and transcribers: plain frozen values.

    gateway --Opening--> host --Opened | Refused-->        once per connection
    gateway --Call--> host --Reply-->                      once per tick, for all clients of the pair
    transcriber --take--> host --Job...-->                 what is to be decoded, as it comes
    transcriber --Answer...--> host                        once per batch

Clocks differ between machines, so times that cross are durations.
"""

from dataclasses import dataclass
from typing import Protocol

from voxray.streaming.events import DecodeMode, Hypothesis
from voxray.wire import Close, ServerMessage, Start, Task


@dataclass(frozen=True, slots=True)
class Opening:
    """A connection that asks for a session, or for its session again (`start.session`).

    A session that is not found, or a wrong token, begins a new one at `start.from_byte` with segment
    `start.have_segment + 1`. One that is not `resumable` ends with its connection, as
    nobody is told its token.
    """

    gateway: str
    start: Start
    resumable: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    """A session is the connection's. `messages`: `ready`, then the finals that the client lacks.

    `epoch` goes with every input of this connection; a later resume raises it. `credit_bytes`: how much
    audio may come now.
    """

    session: str
    resume_token: str
    epoch: int
    messages: tuple[ServerMessage, ...]
    credit_bytes: int
    bytes_per_second: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """No session, and why: `code` names it for programs, `message` for people, `close` ends the socket."""

    close: Close
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Control:
    """`finalize` or `stop`, in its place between the audio."""

    stop: bool


@dataclass(frozen=True, slots=True)
class Input:
    """What came from one connection since the last call, in order. `left`: it is gone, with nothing after."""

    session: str
    epoch: int
    items: tuple[bytes | Control, ...] = ()
    left: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What goes to one connection. `close` (with `messages` before it) ends it."""

    session: str
    epoch: int
    messages: tuple[ServerMessage, ...] = ()
    credit_bytes: int = 0
    close: Close | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One tick of one gateway. `number` grows with each; the same number again gets the same reply.

    A call acknowledges the reply to the one before it.
    """

    gateway: str
    number: int
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What the gateway's connections are sent, also those that sent nothing, in answer to call `number`."""

    number: int
    outputs: tuple[Output, ...] = ()
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One window to decode: `pcm` is 16 kHz mono int16, little-endian. `number` grows within a session.

    `prefix` is forced at the window's start; `prompt` and `hotwords` stand before the start token.
    `due_in_s` is what is left until its deadline when it is handed over; negative where it has passed.
    """

    session: str
    number: int
    pcm: bytes
    prefix: str
    mode: DecodeMode
    word_times: bool
    language: str | None
    task: Task
    prompt: str
    hotwords: str
    due_in_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job: a hypothesis, or None where it failed or was `superseded` by a newer one."""

    session: str
    number: int
    hypothesis: Hypothesis | None
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """A transcriber that holds a lease lives: its model's name, and the languages that it was trained on."""

    model: str
    languages: tuple[str, ...]


class Source(Protocol):
    """Where a transcriber gets its jobs: a host, near or far."""

    async def take(self, lease: int) -> list[Job] | None:
        """The next jobs, waiting a while for them (an empty list: none came); None: the lease is over."""
        ...

    async def deliver(self, lease: int, answers: list[Answer]) -> None:
        """Answers to jobs, each once; those of a lease that is over are ignored."""
        ...


class Host(Protocol):
    """Where a gateway's sessions live, near or far. HostGone where it has died."""

    async def open(self, opening: Opening) -> Opened | Refused:
        """A new session, or one that is resumed."""
        ...

    async def tick(self, call: Call) -> Reply:
        """Input and output of all of a gateway's connections."""
        ...


class Directory(Protocol):
    """Which host has which session, and which takes a new one."""

    async def place(self, gateway: str, without: frozenset[str] = frozenset()) -> tuple[str, Host]:
        """A host for a new session, with its name; ServiceError where no more may be opened.

        `without`: names of hosts that this session was offered to, and that were full or did not answer.
        """
        ...

    async def find(self, number: int) -> tuple[str, Host] | None:
        """The host whose number is before the dot of a session's id, with its name; None: there is none."""
        ...


class HostGone(Exception):
    """A host died, or does not answer: its connections are to connect again."""
