import pytest

from voxray.streaming.events import Hypothesis, HypothesisWord
from voxray.streaming.guards import Guards, Verdict


def hypothesis(text: str, *, logprob: float | None = -0.2, silence: float | None = 0.0, ratio: float | None = 1.0) -> Hypothesis:  # fmt: skip  # noqa: E501  # one line reads best
    return Hypothesis(tuple(HypothesisWord(" " + w) for w in text.split()), None, logprob, silence, ratio)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (hypothesis("turn on the light"), Verdict.SOUND),
        (hypothesis("turn on", logprob=None, silence=None, ratio=None), Verdict.SOUND),
        (hypothesis("turn on", logprob=-1.1), Verdict.DOUBTFUL),
        (hypothesis("turn on", logprob=-1.1, silence=0.7), Verdict.SILENCE),
        (hypothesis("turn on", logprob=-0.5, silence=0.7), Verdict.SOUND),
        (hypothesis("turn on", logprob=None, silence=0.7), Verdict.SILENCE),
        (hypothesis("turn on", ratio=2.5), Verdict.LOOP),
        (hypothesis("six " * 6), Verdict.SOUND),
        (hypothesis("six " * 8), Verdict.LOOP),
        (hypothesis("", logprob=-3.0, silence=1.0, ratio=0.0), Verdict.SOUND),
    ],
)
def test_verdicts(said: Hypothesis, verdict: Verdict) -> None:
    assert Guards().judge(said) is verdict
