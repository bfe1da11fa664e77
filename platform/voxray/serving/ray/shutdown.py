"""Learning that Serve is stopping this replica, while its clients can still be moved.

Serve 2.60 has no hook for this: in a replica that it stops, it first awaits the open requests, and calls
`__del__` after that. It does stop calling `check_health`. Silence alone is no sign, though: the controller
may be busy, stopped or restarting, and then every replica would drain at once. So a replica that is not
checked asks the controller, and waits for its answer, before it drains.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

log = logging.getLogger(__name__)

HEALTH_S = 1.0  # the deployments' `health_check_period_s`
UNCHECKED_S = 4 * HEALTH_S  # a busy controller misses some checks
CONFIRM_S = 2 * HEALTH_S  # in which a controller that answers also checks the replicas that stay


class ShutdownDetector:
    """Tells a replica that Serve is stopping it.

    Call `health_checked` in `check_health`, and drain when `wait` returns. `is_stopping` asks Serve whether
    it is stopping any replica of the deployment; by default with `serve.status`.
    """

    def __init__(
        self,
        is_stopping: Callable[[], Awaitable[bool]] | None = None,
        *,
        unchecked_s: float = UNCHECKED_S,
        confirm_s: float = CONFIRM_S,
    ) -> None:
        self._is_stopping = is_stopping or _serve_stops_replicas()
        self._unchecked_s, self._confirm_s = unchecked_s, confirm_s
        self._checked_s = time.monotonic()

    def health_checked(self) -> None:
        """Note that Serve checks this replica's health, so that it is to stay."""
        self._checked_s = time.monotonic()

    async def wait(self) -> None:
        """Return once Serve is stopping this replica."""
        while True:
            await asyncio.sleep(max(0.0, self._checked_s + self._unchecked_s - time.monotonic()))
            checked_s = self._checked_s
            if time.monotonic() - checked_s < self._unchecked_s:
                continue
            stopping = await self._is_stopping()
            await asyncio.sleep(self._confirm_s)
            if stopping and self._checked_s == checked_s:
                return


def _serve_stops_replicas() -> Callable[[], Awaitable[bool]]:
    """Return a question to `serve.status` about this deployment; without a controller it waits for one."""
    context = serve.get_replica_context()

    def ask() -> bool:
        application = serve.status().applications.get(context.app_name)
        deployment = application and application.deployments.get(context.deployment)
        states = deployment.replica_states.items() if deployment else ()
        return not deployment or any(state == "STOPPING" for state, count in states if count)

    async def is_stopping() -> bool:
        try:
            return await asyncio.to_thread(ask)
        except (RayError, RayServeException) as e:
            log.warning("Serve's controller cannot be asked (%s: %s)", type(e).__name__, e)
            return False

    return is_stopping
