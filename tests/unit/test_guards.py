import pytest
from tests.prose import PROSE, THANKS

from voxray.guards import GuardResult, Guards
from voxray.streaming.events import Hypothesis, HypothesisWord
from voxray.text import compression_ratio


def hypothesis(text: str, *, logprob: float | None = -0.2, silence: float | None = 0.0, ratio: float | None = 1.0) -> Hypothesis:  # fmt: skip  # noqa: E501  # one line reads best
    return Hypothesis(tuple(HypothesisWord(" " + w) for w in text.split()), None, logprob, silence, ratio)


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (hypothesis("turn on the light"), GuardResult.SOUND),
        (hypothesis("turn on", logprob=None, silence=None, ratio=None), GuardResult.SOUND),
        (hypothesis("turn on", logprob=-1.1), GuardResult.DOUBTFUL),
        (hypothesis("turn on", logprob=-1.3), GuardResult.SILENCE),
        (hypothesis("turn on", logprob=-1.1, silence=0.7), GuardResult.SILENCE),
        (hypothesis("turn on", logprob=-0.5, silence=0.7), GuardResult.SOUND),
        (hypothesis("turn on", logprob=None, silence=0.7), GuardResult.SILENCE),
        (hypothesis("turn on", ratio=2.5), GuardResult.LOOP),
        (hypothesis("six " * 6), GuardResult.SOUND),
        (hypothesis("six " * 8), GuardResult.SOUND),
        (hypothesis("six " * 9), GuardResult.LOOP),
        (hypothesis("please call me back as soon as you can " * 2), GuardResult.SOUND),
        (hypothesis("we left early so thank " + "you very much thank " * 5), GuardResult.LOOP),
        (hypothesis("", logprob=-3.0, silence=1.0, ratio=0.0), GuardResult.SOUND),
    ],
)
def test_results(given: Hypothesis, result: GuardResult) -> None:
    assert Guards().check(given) is result


@pytest.mark.parametrize("language", PROSE)
def test_a_text_in_any_script_is_a_loop_where_it_repeats_itself_and_only_there(language: str) -> None:
    prose, thanks = PROSE[language], THANKS[language]
    guards = Guards()

    for end in (100, 200, len(prose)):
        assert not guards.is_loop(prose[:end], compression_ratio(prose[:end]))
    for begin in ("", prose[:60], prose[:160]):
        text = begin + 20 * thanks
        assert guards.is_loop(text, compression_ratio(text))
        assert guards.is_loop(text, None)
    assert guards.is_loop(10 * thanks, compression_ratio(10 * thanks))
    assert not guards.is_loop(prose[:60] + 2 * thanks, compression_ratio(prose[:60] + 2 * thanks))


@pytest.mark.parametrize(
    "text",
    [
        "我们先看一下这个问题。" + "我不知道。" * 12,
        PROSE["en"][:160] + " thank you very much" * 6,
        "ผมไม่รู้" * 8,
        "哈" * 20,
    ],
)
def test_a_loop_that_compresses_little_is_one_by_its_words(text: str) -> None:
    assert compression_ratio(text) < 2.4 or len(text) < 100
    assert Guards().is_loop(text, 1.0)
