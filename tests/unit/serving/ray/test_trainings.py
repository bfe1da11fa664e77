from collections.abc import Mapping

import pytest

from voxray.serving.ray.trainings import queue_reason

HEAD, GPU = {"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}


@pytest.mark.parametrize(
    ("wanted", "nodes", "reason"),
    [
        ({"CPU": 1.0, "GPU": 1.0}, [HEAD], "no node has 1 CPU and 1 GPU; waiting for one that is added"),
        ({"CPU": 1.0, "GPU": 1.0}, [HEAD, GPU], "waiting for 1 CPU and 1 GPU to be free"),
        ({"CPU": 3.0, "GPU": 1.0}, [HEAD, GPU], "no node has 3 CPU and 1 GPU; waiting for one that is added"),
        ({"CPU": 0.5, "GPU": 0.0}, [HEAD], "waiting for 0.5 CPU to be free"),
    ],
)
def test_a_queued_training_waits_for_a_node_or_for_what_others_use(
    wanted: Mapping[str, float], nodes: list[Mapping[str, float]], reason: str
) -> None:
    assert queue_reason(wanted, nodes) == reason
