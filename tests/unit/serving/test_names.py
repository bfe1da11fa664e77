"""Names of a service's actors."""

import pytest

from voxray.serving.names import Service, code_digest
from voxray.serving.settings import ServiceArgs


@pytest.fixture
def service() -> Service:
    return Service("voxray", "0123456789ab", ServiceArgs())


@pytest.mark.parametrize("number", [0, 1, 12])
def test_a_host_is_found_by_its_name(service: Service, number: int) -> None:
    assert service.number(service.host(number)) == number


def test_other_actors_are_not_hosts(service: Service) -> None:
    other = Service("voxray", "ffffffffffff", ServiceArgs())

    assert service.number(other.host(1)) is None
    assert service.number(service.directory) is None
    assert service.number("x") is None


def test_the_digest_is_of_the_code() -> None:
    assert code_digest() == code_digest()
    assert len(code_digest()) == 12
