"""A running service for tests over real sockets."""

from collections.abc import Iterator

import pytest
from tests.service.local import LocalService, serving
from tests.small_model import SMALL_MODEL_INT8

from voxray.serving.settings import ServiceArgs


@pytest.fixture(scope="session")
def service() -> Iterator[LocalService]:
    """The small model behind a gateway, in this process."""
    with serving(ServiceArgs(model=str(SMALL_MODEL_INT8))) as running:
        yield running
