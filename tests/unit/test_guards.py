import pytest

from voxray.guards import GuardResult, Guards
from voxray.streaming.events import Hypothesis, HypothesisWord


def hypothesis(text: str, *, logprob: float | None = -0.2, silence: float | None = 0.0, ratio: float | None = 1.0) -> Hypothesis:  # fmt: skip  # noqa: E501  # one line reads best
    return Hypothesis(tuple(HypothesisWord(" " + w) for w in text.split()), None, logprob, silence, ratio)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (hypothesis("turn on the light"), GuardResult.SOUND),
        (hypothesis("turn on", logprob=None, silence=None, ratio=None), GuardResult.SOUND),
        (hypothesis("turn on", logprob=-1.1), GuardResult.DOUBTFUL),
        (hypothesis("turn on", logprob=-1.1, silence=0.7), GuardResult.SILENCE),
        (hypothesis("turn on", logprob=-0.5, silence=0.7), GuardResult.SOUND),
        (hypothesis("turn on", logprob=None, silence=0.7), GuardResult.SILENCE),
        (hypothesis("turn on", ratio=2.5), GuardResult.LOOP),
        (hypothesis("six " * 6), GuardResult.SOUND),
        (hypothesis("six " * 8), GuardResult.LOOP),
        (hypothesis("", logprob=-3.0, silence=1.0, ratio=0.0), GuardResult.SOUND),
    ],
)
def test_results(given: Hypothesis, result: GuardResult) -> None:
    assert Guards().check(given) is result
