"""A running service for tests over real sockets."""

from collections.abc import Iterator

import pytest
from tests.benchmarks.recordings import Recording
from tests.service.launched import Launched, launched
from tests.service.local import LocalService, serving
from tests.service.speaking import spoken_clips
from tests.small_model import SMALL_MODEL_INT8

from voxray.serving.settings import ServiceArgs


@pytest.fixture(scope="session")
def service() -> Iterator[LocalService]:
    """The small model behind a gateway, in this process."""
    with serving(ServiceArgs(model=str(SMALL_MODEL_INT8))) as running:
        yield running


@pytest.fixture(scope="module")
def launched_service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launched]:
    """The service in processes of its own, on Ray, with the words of the module's `ARGS`."""
    log = tmp_path_factory.mktemp("service") / "log"
    with launched(log, *getattr(request.module, "ARGS", ())) as running:
        yield running


@pytest.fixture(scope="module")
def recording(request: pytest.FixtureRequest) -> Recording:
    """Clips that the small model knows, one after another, `LENGTH_S` of the module long."""
    return spoken_clips(request.module.LENGTH_S)
