"""The messages between gateways, session hosts and transcribers: plain frozen values.

    gateway --Opening--> host --Opened | Refused-->        once per connection
    gateway --Call--> host --Reply-->                      once per tick, for all clients of the pair
    transcriber --next_jobs--> host --Job...-->            windows to decode, as they become ready
    transcriber --Answer...--> host                        once per batch

Messages for clients stay typed until the gateway writes them to a socket. Clocks differ between machines, so
times that cross are durations.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from voxray.streaming.events import DecodeMode, Hypothesis
from voxray.transcript import Task
from voxray.wire import Close, ServerMessage, Start


@dataclass(frozen=True, slots=True)
class Opening:
    """A connection asks for a session, or, with `start.session`, for its old session.

    If that is not found, or the token is wrong, a new session begins at `start.from_byte` with segment
    `start.have_segment + 1`. A session that is not `resumable` ends with its connection, whose client does
    not get its token. A new session has the model `start.model`, by its name in jobs; an old one keeps its
    own. `owner` is that of the client's key (`AccessPolicy.owner`).
    """

    gateway: str
    start: Start
    resumable: bool = True
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection has a session. `messages` are `Ready` and the finals that the client lacks.

    Every `Input` of this connection carries `epoch`; a later resume raises it. The client may send
    `credit_bytes` of audio now.
    """

    session: str
    resume_token: str
    epoch: int
    messages: tuple[ServerMessage, ...]
    credit_bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The connection gets no session: `code` is the reason for programs, `message` for people."""

    close: Close
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Control:
    """A `finalize` or `stop`, at its place in the audio."""

    stop: bool


@dataclass(frozen=True, slots=True)
class Input:
    """What one connection received since the last call, in order. `left`: it is closed, and sends no more."""

    session: str
    epoch: int
    items: tuple[bytes | Control, ...] = ()
    left: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What one connection is to be sent. `close` ends it, after `messages`."""

    session: str
    epoch: int
    messages: tuple[ServerMessage, ...] = ()
    credit_bytes: int = 0
    close: Close | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One tick of one gateway. `number` grows with each; a repeated number gets the same reply.

    A call acknowledges the reply to the one before it.
    """

    gateway: str
    number: int
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to call `number`: outputs for the gateway's connections, also those without input."""

    number: int
    outputs: tuple[Output, ...] = ()
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One window to decode: `pcm` is 16 kHz mono int16, little-endian. `number` grows within a session.

    `prefix` is forced at the window's start; `prompt` and `hotwords` stand before the start token. `due_in_s`
    is the time left until its deadline when it is handed over; negative if that has passed. `model`: the name
    of the model that decodes it; None for the transcriber's default.
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
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Preload:
    """A session has begun with a model that may have to be loaded; its jobs come later.

    It is answered only where the model cannot be loaded, or does not know the session's `language`.
    """

    session: str
    model: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ModelsInUse:
    """The models, by name, of all live sessions of a host: a transcriber keeps them loaded where it can.

    It is handed over whenever they change, and replaces what was said before under the same lease, which
    begins with none.
    """

    models: frozenset[str]


HandedOver = Job | Preload | ModelsInUse


@dataclass(frozen=True, slots=True)
class SessionError:
    """Why no job of a session can be decoded: `code` for programs, `message` for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a job: a hypothesis; None if it failed or a newer job replaced it.

    `queued_s`: how long it waited for the batches of other jobs. With an `error`, which ends the session,
    `number` has no meaning.
    """

    session: str
    number: int
    hypothesis: Hypothesis | None
    queued_s: float = 0.0
    error: SessionError | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The transcriber that holds a lease is alive. `model` is the name of its default model.

    `languages`: of each model that it has loaded, by name (None for the default), those it was trained on.
    """

    model: str
    languages: Mapping[str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """The smallest window in seconds that a model may be given, and the languages it was trained on.

    `loaded`: whether the transcriber that says so has it in memory.
    """

    min_window_s: float
    languages: tuple[str, ...]
    loaded: bool = True


class JobSource(Protocol):
    """Where a transcriber gets its jobs: a host, in this process or another."""

    async def next_jobs(self, lease: int) -> list[HandedOver] | None:
        """Wait a while for jobs and return them, or an empty list; return None once the lease is over."""
        ...

    async def deliver(self, lease: int, answers: list[Answer]) -> None:
        """Deliver answers to jobs, each once; those under a lease that is over are ignored."""
        ...


class Host(Protocol):
    """Where a gateway's sessions live, in this process or another. Calls raise HostGone once it has died."""

    async def open(self, opening: Opening) -> Opened | Refused:
        """Open a new session, or resume one."""
        ...

    async def tick(self, call: Call) -> Reply:
        """Exchange the input and output of all of a gateway's connections."""
        ...


class Directory(Protocol):
    """Knows the hosts: which of them has a session, and which takes a new one."""

    async def place(self, gateway: str, without: frozenset[str] = frozenset()) -> tuple[str, Host]:
        """Return a host for a new session, with its name; raise ServiceError if the service is full.

        `without` names hosts that were already tried for this session, and were full or did not answer.
        """
        ...

    async def find(self, number: int) -> tuple[str, Host] | None:
        """Return the host with this number (the part of a session's id before the dot), with its name."""
        ...


class HostGone(Exception):
    """A host died or does not answer: its connections must connect again."""


def unknown_language(language: str, known: Collection[str]) -> str:
    """Return the message for a session whose model does not know its language."""
    return f"language: expected one that the model knows ({', '.join(known)}), got {language!r}."
