"""Names of a service's actors."""

import pytest

from voxray.serving.ray.names import Service
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


def test_another_model_keeps_the_actors() -> None:
    one, other = ServiceArgs(), ServiceArgs(model="/another")

    assert Service.of("voxray", one).directory == Service.of("voxray", other).directory


@pytest.mark.parametrize("changed", [{"limits": {"kept_s": 1}}, {"decoding": {"partial_every_s": 1}}])
def test_other_limits_or_decoding_take_new_actors(changed: dict[str, object]) -> None:
    one, other = ServiceArgs(), ServiceArgs.model_validate(changed)

    assert Service.of("voxray", one).directory != Service.of("voxray", other).directory
