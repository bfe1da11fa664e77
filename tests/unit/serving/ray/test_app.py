"""What a gateway makes of its transcribers' answers; Ray itself is not started."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from voxray.errors import AudioError, ServiceError
from voxray.serving.protocol import ModelDescription
from voxray.whisper.engines import DecodingOptions, DecodingResult

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Ray declares its own schema in pydantic's old way
    from ray.serve.exceptions import RayServeException

    from voxray.serving.ray.app import RayFileTranscriber

DESCRIBED = ModelDescription(2.0, ("en",))
HEARD = DecodingResult("what", "en", (), (), (), -0.1, 0.0, 1.0)


@dataclass
class Method:
    """One method of a handle, as Serve has it."""

    remote: Callable[..., Awaitable[Any]]


class Handle:
    """A deployment that answers, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.describe = Method(lambda model: self._answer(DESCRIBED))
        self.describe_known = Method(lambda models: self._answer([DESCRIBED for _ in models]))
        self.transcribe = Method(lambda clips, options, model: self._answer([HEARD for _ in clips]))

    async def _answer(self, answer: object) -> object:
        if self._error:
            raise self._error
        return answer


def from_a_replica(error: Exception) -> Exception:
    """As Ray raises what a replica raised: an error of both classes, with a traceback as its text."""
    made: Any = RayTaskError
    task = made("transcribe", "Traceback:\n  File a\nboom", error, proctitle="t", pid=1, ip="127.0.0.1")
    raised: Exception = task.as_instanceof_cause()
    return raised


def files(error: Exception | None = None) -> RayFileTranscriber:
    handle: Any = Handle(error)
    return RayFileTranscriber(handle)


def asked(error: Exception) -> list[Callable[[], Awaitable[Any]]]:
    """All that can be asked."""
    one = files(error)
    return [
        lambda: one.describe("mine"),
        lambda: one.describe_known([None]),
        lambda: one.transcribe([], DecodingOptions(), None),
    ]


async def result_of(ask: Callable[[], Awaitable[Any]]) -> Any:
    return await ask()


def test_an_answer_is_handed_on() -> None:
    silence = np.zeros(16_000, dtype=np.int16)

    assert asyncio.run(files().describe(None)) == DESCRIBED
    assert asyncio.run(files().describe_known([None, "mine"])) == [DESCRIBED] * 2
    assert asyncio.run(files().transcribe([silence] * 2, DecodingOptions(), "mine")) == [HEARD] * 2


def test_an_error_of_ours_is_raised_as_it_was_there() -> None:
    for ask in asked(from_a_replica(AudioError("clip 0: expected at most 30 s, and it lasts 31 s."))):
        with pytest.raises(AudioError) as raised:
            asyncio.run(result_of(ask))

        assert type(raised.value) is AudioError
        assert str(raised.value) == "clip 0: expected at most 30 s, and it lasts 31 s."


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (from_a_replica(KeyError("translate")), "KeyError"),
        (ActorDiedError(), "ActorDiedError"),
        (RayServeException("no replica"), "RayServeException"),
    ],
)
def test_any_other_is_one_plain_sentence(
    error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for ask in asked(error):
        with pytest.raises(ServiceError, match=rf"got {name};") as raised:
            asyncio.run(result_of(ask))

        assert "\n" not in str(raised.value)
    assert name in caplog.text
