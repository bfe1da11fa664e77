"""The application for Ray Serve: `voxray.serving.ray.app:build`, with `ServiceArgs` as its arguments.

It is started by one of

    serve deploy serve/config.yaml                       on a running cluster
    serve run voxray.serving.ray.app:build model=FOLDER      from the repository, for a try
    make serve                                           Ray and the service on this machine, until Ctrl-C
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.config import AutoscalingConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette

from voxray.audio import Pcm
from voxray.errors import ServiceError, VoxrayError
from voxray.serving.gateway import app as gateway_app
from voxray.serving.ray.directory import RayDirectory
from voxray.serving.ray.names import TRANSCRIBER, Service
from voxray.serving.ray.transcriber import DRAIN_AFTER, HEALTH_S, Transcriber, autoscaling
from voxray.serving.rest.routes import Api
from voxray.serving.settings import ServiceArgs
from voxray.whisper.engines import DecodingOptions, DecodingResult

log = logging.getLogger(__name__)

GRACE_S = 60.0  # for a gateway's clients to be told, and a transcriber's batch to end
WANT_S = 30.0  # how often the directory hears that a gateway lives
LEASES = 1_000  # per transcriber; they wait, they do not work


class Gateway:
    """A replica of the ingress: an ASGI app, stateless but for the sockets that are open."""

    def __init__(self, args: ServiceArgs, transcriber: DeploymentHandle[Any]) -> None:
        self._args = args
        app = serve.get_replica_context().app_name
        self._directory = RayDirectory(Service.of(app, args))
        self._files = RayFiles(args.model, transcriber)
        self._checked_s = time.monotonic()
        self._drained = False
        self._tasks: list[asyncio.Task[None]] = []

    def __serve_build_asgi_app__(self) -> Starlette:
        api = Api(self._files, self._args)
        self._app = gateway_app.build(self._directory, self._args, routes=api.routes, running=api.running)
        return self._app

    async def check_health(self) -> None:
        """Called by Serve as long as this replica is to stay; then clients are told to move.

        One that told them because Serve was silent for long, and is asked again, is replaced: it raises.
        """
        if self._drained:
            raise RuntimeError("expected to be stopped, and was not; this replica has sent its clients away.")
        self._checked_s = time.monotonic()
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._want())]

    async def _watch(self) -> None:
        while time.monotonic() - self._checked_s < DRAIN_AFTER * HEALTH_S:
            await asyncio.sleep(HEALTH_S / 4)
        self._drained = True
        await gateway_app.drain(self._app)

    async def _want(self) -> None:
        """The directory keeps a host ready as long as gateways tell it that they live."""
        while not self._drained:
            try:
                async with asyncio.timeout(WANT_S):
                    await self._directory.want()
            except Exception as e:  # clients may come all the same, and wait for their host
                log.warning("the directory does not answer (%s: %s)", type(e).__name__, e)
            await asyncio.sleep(WANT_S)


class RayFiles:
    """Windows of files, spread over the transcribers."""

    def __init__(self, model: str, transcriber: DeploymentHandle[Any]) -> None:
        self.model = model
        self._transcriber = transcriber

    async def describe(self) -> tuple[float, tuple[str, ...]]:
        """The model's smallest window in seconds, and its languages."""
        answer: tuple[float, tuple[str, ...]] = await _answer(self._transcriber.describe.remote)
        return answer

    async def transcribe(self, clips: Sequence[Pcm], options: DecodingOptions) -> list[DecodingResult]:
        """One hypothesis per clip, in order."""
        answer: list[DecodingResult] = await _answer(
            self._transcriber.transcribe.remote, list(clips), options
        )
        return answer


async def _answer(ask: Callable[..., Awaitable[Any]], *what: Any) -> Any:
    """What a transcriber answers. Its own error is raised as it was there, without the other process's
    traceback, which Ray makes its text; ServiceError where it had another fault, or there was no answer.
    """
    try:
        return await ask(*what)
    except (RayError, RayServeException) as e:
        cause = e.cause if isinstance(e, RayTaskError) else e
        if isinstance(cause, VoxrayError):
            raise cause from None
        log.warning("a transcriber did not answer: %s: %s", type(cause).__name__, e)
        raise ServiceError(
            f"expected a transcriber, and none could do this ({type(cause).__name__}); ask again soon."
        ) from e


def build(args: ServiceArgs) -> serve.Application:
    """Gateways in front, transcribers behind; buffer actors are started by the gateways."""
    transcriber = serve.deployment(
        name=TRANSCRIBER,
        max_ongoing_requests=LEASES,
        autoscaling_config=autoscaling(args.transcriber),
        ray_actor_options={"num_cpus": args.transcriber.cpus, "num_gpus": args.transcriber.gpus},
        health_check_period_s=HEALTH_S,
        graceful_shutdown_timeout_s=GRACE_S,
    )(Transcriber)
    ingress = serve.deployment(
        name="Gateway",
        max_ongoing_requests=args.connections_per_gateway,
        autoscaling_config=_by_connections(args),
        ray_actor_options={"num_cpus": args.gateway.cpus},
        health_check_period_s=HEALTH_S,
        graceful_shutdown_timeout_s=GRACE_S,
    )(serve.ingress()(Gateway))
    application: serve.Application = ingress.bind(args, transcriber.bind(args))
    return application


def _by_connections(args: ServiceArgs) -> AutoscalingConfig:
    """An open websocket is an ongoing request."""
    return AutoscalingConfig(
        min_replicas=args.gateway.min,
        max_replicas=args.gateway.max,
        target_ongoing_requests=args.connections_per_gateway / 2,
        upscale_delay_s=args.gateway.up_s,
        downscale_delay_s=args.gateway.down_s,
    )
