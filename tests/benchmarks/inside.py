"""What buffer actors and a transcriber have observed, asked over Ray where the service is our own."""

from collections import Counter

import ray
from ray import serve
from ray.exceptions import RayError
from tests.benchmarks.usage import Stats

from voxray.serving.ray.directory import actor_names
from voxray.serving.ray.launch import APP
from voxray.serving.ray.names import NAMESPACE, TRANSCRIBER

ANSWER_S = 10.0


def observed() -> Stats | None:
    """Sums and counts, as Prometheus names them; with several transcribers, those of one.

    None where one of those asked does not answer in time, or is gone: a sum without it would be wrong.
    """
    try:
        actors = [ray.get_actor(name, NAMESPACE) for name in actor_names() if "-buffers-" in name]
        totals = ray.get([actor.totals.remote() for actor in actors], timeout=ANSWER_S)
        handle = serve.get_deployment_handle(TRANSCRIBER, APP)
        totals.append(handle.totals.remote().result(timeout_s=ANSWER_S))
    except (TimeoutError, RayError, ValueError):  # ValueError: no actor has this name any more
        return None
    added = Counter[str]()
    for one in totals:
        added.update({f"voxray_{name}": value for name, value in one.items() if not name.endswith("_max")})
    return added
