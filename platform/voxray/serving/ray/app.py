"""The application for Ray Serve: `voxray.serving.ray.app:build`, with `ServiceArgs` as its arguments.

It is started by one of

    serve deploy serve/config.yaml                      on a running cluster
    serve run voxray.serving.ray.app:build model=FOLDER  from the repository, for a try
    make serve                                          Ray and the service on this machine, until Ctrl-C
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.config import AutoscalingConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.routing import Route

from voxray.audio import Pcm
from voxray.errors import ServiceError, VoxrayError
from voxray.serving.corrections.routes import CorrectionApi
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.gateway import app as gateway_app
from voxray.serving.gateway.auth import AccessPolicy
from voxray.serving.model_catalog import ModelCatalog
from voxray.serving.protocol import ModelDescription
from voxray.serving.ray.directory import RayDirectory
from voxray.serving.ray.metrics import RayExporter
from voxray.serving.ray.names import TRANSCRIBER, Service
from voxray.serving.ray.shutdown import HEALTH_S, ShutdownDetector
from voxray.serving.ray.trainings import RayTrainingRunner
from voxray.serving.ray.transcriber import Transcriber, autoscaling
from voxray.serving.rest.routes import Api
from voxray.serving.settings import ServiceArgs
from voxray.serving.trainings.fine_tuning import FineTuningApi
from voxray.serving.trainings.routes import TrainingApi
from voxray.serving.trainings.service import TrainingService
from voxray.whisper.engines import DecodingOptions, DecodingResult

log = logging.getLogger(__name__)

GRACE_S = 60.0  # for a gateway to move its clients, and for a transcriber to finish its batch
WANT_S = 30.0  # between a gateway's calls to the directory
SWEEP_S = 60.0  # between looks for recorded finals that are to be deleted
LEASES = 1_000  # per transcriber; they wait, they do not work


class GatewayDeployment:
    """A replica of the ingress: an ASGI app, stateless but for its open sockets."""

    def __init__(self, args: ServiceArgs, transcriber: DeploymentHandle[Any]) -> None:
        self._args = args
        self._directory = RayDirectory(Service.of(serve.get_replica_context().app_name, args))
        self._transcriber = RayFileTranscriber(transcriber)
        self._policy = AccessPolicy.of(args, os.environ)
        self._trainings = _training_service(args)
        self._corrections = CorrectionStore(args.corrections) if args.corrections.dir else None
        self._shutdown = ShutdownDetector()
        self._drained = False
        self._tasks: list[asyncio.Task[None]] = []

    def __serve_build_asgi_app__(self) -> Starlette:
        catalog = ModelCatalog(self._args, self._policy)
        api = Api(self._transcriber, self._args, catalog, self._training_routes(), self._correction_routes())
        app = gateway_app.build(self._directory, self._args, routes=api.routes, running=api.running)
        self._gateway = gateway_app.gateway_of(app)
        return app

    def _training_routes(self) -> list[Route]:
        if not self._trainings:
            return []
        apis = TrainingApi(self._trainings, self._policy), FineTuningApi(self._trainings, self._policy)
        return [route for api in apis for route in api.routes]

    def _correction_routes(self) -> list[Route]:
        return CorrectionApi(self._corrections, self._policy).routes if self._corrections else []

    async def check_health(self) -> None:
        """Called by Serve as long as this replica is to stay. Where it raises, Serve replaces the replica."""
        if self._drained:
            raise RuntimeError("expected to be stopped, got a health check; this replica has drained.")
        self._shutdown.health_checked()
        if not self._tasks:
            work = [
                self._drain_at_shutdown(),
                self._want(),
                RayExporter(self._gateway.metrics.registry).run(),
            ]
            if self._trainings:
                work.append(self._keep_trainings_running(self._trainings))
            if self._corrections:
                work.append(self._sweep_corrections(self._corrections))
            self._tasks = [asyncio.create_task(w) for w in work]

    async def _drain_at_shutdown(self) -> None:
        await self._shutdown.wait()
        self._drained = True
        await self._gateway.drain()

    async def _want(self) -> None:
        """Report to the directory that this gateway runs, so that it keeps a host ready."""
        while not self._drained:
            try:
                async with asyncio.timeout(WANT_S):
                    await self._directory.want()
            except Exception as e:  # clients may come all the same, and wait for their host
                log.warning("the directory does not answer (%s: %s)", type(e).__name__, e)
            await asyncio.sleep(WANT_S)

    async def _sweep_corrections(self, corrections: CorrectionStore) -> None:
        """Delete the recorded finals that are too old or too many."""
        while not self._drained:
            try:
                await asyncio.to_thread(corrections.sweep)
            except OSError as e:  # storage may be away for a while
                log.warning("recorded finals cannot be deleted (%s)", e)
            await asyncio.sleep(SWEEP_S)

    async def _keep_trainings_running(self, trainings: TrainingService) -> None:
        """Start what no actor works on: after the cluster was restarted, or a gateway killed meanwhile."""
        while not self._drained:
            try:
                await trainings.keep_running()
            except Exception as e:  # storage or Ray may be away for a while
                log.warning("trainings cannot be started (%s: %s)", type(e).__name__, e)
            await asyncio.sleep(WANT_S)


class RayFileTranscriber:
    """The transcribers as the REST API uses them; see `recordings.FileTranscriber`."""

    def __init__(self, transcriber: DeploymentHandle[Any]) -> None:
        self._transcriber = transcriber

    async def describe(self, model: str | None) -> ModelDescription:
        """As `recordings.FileTranscriber.describe`."""
        described: ModelDescription = await _call(self._transcriber.describe.remote, model)
        return described

    async def describe_known(self, models: Sequence[str | None]) -> list[ModelDescription | None]:
        """As `recordings.FileTranscriber.describe_known`."""
        known = self._transcriber.describe_known
        described: list[ModelDescription | None] = await _call(known.remote, list(models))
        return described

    async def transcribe(
        self, clips: Sequence[Pcm], options: DecodingOptions, model: str | None
    ) -> list[DecodingResult]:
        """As `recordings.FileTranscriber.transcribe`."""
        transcribe = self._transcriber.transcribe
        results: list[DecodingResult] = await _call(transcribe.remote, list(clips), options, model)
        return results


def _training_service(args: ServiceArgs) -> TrainingService | None:
    return TrainingService(args, RayTrainingRunner(args.trainings)) if args.trainings.dir else None


async def _call(method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Return what a transcriber's method returns.

    A VoxrayError of its own is raised without the other process's traceback, which Ray makes part of the
    message. Any other failure, or no reply, is a ServiceError.
    """
    try:
        return await method(*args)
    except (RayError, RayServeException) as e:
        cause = e.cause if isinstance(e, RayTaskError) else e
        if isinstance(cause, VoxrayError):
            raise cause from None
        log.warning("a transcriber failed: %s: %s", type(cause).__name__, e)
        raise ServiceError(
            f"expected a transcriber to do this, got {type(cause).__name__}; try again soon."
        ) from e


def build(args: ServiceArgs) -> serve.Application:
    """Return the application: gateways in front, transcribers behind. Gateways start the buffer actors."""
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
        autoscaling_config=_autoscaling_by_connections(args),
        ray_actor_options={"num_cpus": args.gateway.cpus},
        health_check_period_s=HEALTH_S,
        graceful_shutdown_timeout_s=GRACE_S,
    )(serve.ingress()(GatewayDeployment))
    application: serve.Application = ingress.bind(args, transcriber.bind(args))
    return application


def _autoscaling_by_connections(args: ServiceArgs) -> AutoscalingConfig:
    """An open WebSocket is an ongoing request to Serve."""
    return AutoscalingConfig(
        min_replicas=args.gateway.min,
        max_replicas=args.gateway.max,
        target_ongoing_requests=args.connections_per_gateway / 2,
        upscale_delay_s=args.gateway.up_s,
        downscale_delay_s=args.gateway.down_s,
    )
