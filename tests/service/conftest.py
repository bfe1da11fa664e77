"""A running service for tests over real sockets."""

from collections.abc import Iterator

import pytest
from tests.service.local import LocalService, serving

from voxray.serving.settings import ServiceArgs


@pytest.fixture(scope="session")
def service() -> Iterator[LocalService]:
    """The built-in model behind a gateway, in this process."""
    with serving(ServiceArgs()) as running:
        yield running
