"""The whole service in one process, without Ray: gateway, host and decoder behind a real socket."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import uvicorn

from voxray.audio import Pcm
from voxray.serving.audio_input.voice_activity import SileroModel
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.protocol import Host, ModelDescription
from voxray.serving.rest.routes import Api
from voxray.serving.sessions.async_host import AsyncHost
from voxray.serving.sessions.host import SessionHost
from voxray.serving.settings import ServiceArgs
from voxray.serving.transcriber.decoder import Decoder
from voxray.serving.transcriber.scheduler import SchedulerOptions
from voxray.serving.transcriber.service import DecodeService
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, DecodingResult
from voxray.whisper.models import ctranslate2_folder

START_S = 30.0


class LocalHosts:
    """A directory of the hosts in this process; one can be ended as if it had died."""

    def __init__(self, args: ServiceArgs, transcriber: DecodeService) -> None:
        self._args = args
        self._transcriber = transcriber
        self._vad_model = SileroModel()
        self._hosts: dict[int, AsyncHost] = {}
        self._cores: dict[int, SessionHost] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def place(self, gateway: str, without: frozenset[str] = frozenset()) -> tuple[str, Host]:
        """A host that is there, or a new one."""
        open_ = [number for number in self._hosts if f"host-{number}" not in without]
        number = open_[0] if open_ else self._start(len(self._tasks) + 1)
        return f"host-{number}", self._hosts[number]

    async def find(self, number: int) -> tuple[str, Host] | None:
        """The host with this number."""
        host = self._hosts.get(number)
        return None if host is None else (f"host-{number}", host)

    def lose(self) -> None:
        """The sessions of all hosts are gone; resumes find nothing."""
        self._hosts.clear()
        self._cores.clear()

    @property
    def sessions(self) -> int:
        """How many sessions there are, connected or not."""
        return sum(core.sessions for core in self._cores.values())

    def _start(self, number: int) -> int:
        args = self._args
        core = SessionHost(number, args.limits, args.decoding, self._vad_model.detector, model=args.model)
        self._cores[number] = core
        host = self._hosts[number] = AsyncHost(core)
        self._tasks += [
            asyncio.create_task(host.sweep()),
            asyncio.create_task(self._transcriber.serve(host, host.new_lease())),
        ]
        return number

    async def end(self) -> None:
        """Stop what was started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class LocalFileTranscriber:
    """`recordings.FileTranscriber` over the decoder of this process."""

    transcriber: DecodeService

    async def describe(self, model: str | None) -> ModelDescription:
        """As `FileTranscriber.describe`."""
        return self.transcriber.descriptions[model]

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        """As `FileTranscriber.describe_known`."""
        return [self.transcriber.descriptions.get(model) for model in models]

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        """As `FileTranscriber.transcribe`."""
        return await self.transcriber.transcribe(clips, options, model)


@dataclass
class LocalService:
    """A running service. `hosts` belongs to its loop: use `do`."""

    port: int
    loop: asyncio.AbstractEventLoop
    hosts: LocalHosts
    app: object = field(repr=False)

    @property
    def http(self) -> str:
        """Where pages and files go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where streams go."""
        return f"ws://127.0.0.1:{self.port}/v1/stream"

    def lose_hosts(self) -> None:
        """As if the buffer actors had died."""
        self.loop.call_soon_threadsafe(self.hosts.lose)


@contextlib.contextmanager
def serving(args: ServiceArgs) -> Iterator[LocalService]:
    """The service with the model that `args` name, on a free port, while the block runs."""
    ready, ended = threading.Event(), threading.Event()
    found: list[LocalService] = []
    thread = threading.Thread(target=lambda: asyncio.run(_serve(args, found, ready, ended)))
    thread.start()
    try:
        assert ready.wait(START_S), "the service did not start"
        yield found[0]
    finally:
        ended.set()
        thread.join(START_S)


async def _serve(
    args: ServiceArgs, found: list[LocalService], ready: threading.Event, ended: threading.Event
) -> None:
    engine = CTranslate2Engine(ctranslate2_folder(args.model), threads=1)
    options = SchedulerOptions(max_batch=args.decoding.max_batch, fill_s=args.decoding.fill_ms / 1000)
    transcriber = DecodeService(Decoder(engine), options)
    hosts = LocalHosts(args, transcriber)
    catalog = ModelCatalog(args, AccessPolicy.of(args, {}))
    api = Api(LocalFileTranscriber(transcriber), args, catalog)
    app = gateway_app.build(hosts, args, routes=api.routes, running=api.running, environ={})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        port = listening.getsockname()[1]
        found.append(LocalService(port, asyncio.get_running_loop(), hosts, app))
        ready.set()
        await asyncio.to_thread(ended.wait)
        server.should_exit = True
        await running
    await hosts.end()
    await transcriber.close()
