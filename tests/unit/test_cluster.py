import inspect
import os
import subprocess
import sys

import pytest
import ray
from ray._private import node

import voxray
from voxray.cluster import ENVIRONMENT, START_TIMED_OUT, local_cluster
from voxray.errors import ClusterError

RUN = """
import os, tempfile, pathlib
from voxray.cluster import cluster

with cluster():
    import ray

    @ray.remote
    def where() -> tuple[str, int]:
        import voxray
        return voxray.__file__, os.nice(0)

    print(ray.get(where.remote()))
    print(ray.cluster_resources()["CPU"])
    session = ray._private.worker._global_node.get_session_dir_path()
    with cluster():
        print(ray.is_initialized())
    print(ray.is_initialized())
print(ray.is_initialized(), os.path.exists(os.path.dirname(session)), os.environ["RAY_AUTH_MODE"])
"""


@pytest.mark.ray
def test_a_cluster_of_this_machine_lives_as_long_as_its_block() -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", RUN], env=kept, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str((voxray.__file__, 0)),
        str(float(max(8, os.cpu_count() or 1))),
        "True",
        "True",
        f"False False {ENVIRONMENT['RAY_AUTH_MODE']}",
    ]


def test_a_machine_that_is_too_busy_for_ray_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert START_TIMED_OUT in inspect.getsource(node)

    def too_late(**_: object) -> None:
        raise Exception(f"The current node {START_TIMED_OUT}.")

    monkeypatch.setattr(ray, "init", too_late)
    with pytest.raises(ClusterError, match="run the same command again"), local_cluster():
        pass


def test_without_ray_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from voxray.cluster import cluster\n"
        "from voxray.errors import MissingDependency\n"
        "try:\n    with cluster(): pass\n"
        "except MissingDependency as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == (
        "expected Ray, which every job runs on, got no such package; pip install 'voxray[train]'.\n"
    )
