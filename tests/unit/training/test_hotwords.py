import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.small_model import SMALL_MODEL

from voxray.corpora.store import Clip
from voxray.training.augment import AugmentOptions
from voxray.training.collate import LabelOptions, example
from voxray.training.hotwords import MOST_OTHERS, MOST_SAID, hotwords, vocabulary
from voxray.training.plan import PlannedWindow
from voxray.whisper.labels import IGNORED
from voxray.whisper.tokens import Tokens

WORDS = st.lists(
    st.sampled_from(["Asterisk", "voicemail", "pound", "key", "Müller", "don't", "to"]), max_size=8
)
SEEDS = st.integers(0, 2**32 - 1)
TOKENS = Tokens.load(SMALL_MODEL)


def test_a_vocabulary_has_longer_words_once_without_punctuation() -> None:
    texts = ["Press the pound key, please.", "The (Asterisk) key: press!", "今天 天气"]

    assert vocabulary(texts) == ("Asterisk", "Press", "please", "pound", "press")


@given(WORDS, WORDS, SEEDS)
def test_a_list_has_words_of_the_text_and_others_each_once(
    said: list[str], other: list[str], seed: int
) -> None:
    text, others = " ".join(said), vocabulary(other)
    found = [w for w in hotwords(text, others, np.random.default_rng(seed)).split(", ") if w]
    own = [w for w in found if w in said]

    assert len(set(found)) == len(found)
    assert len(own) <= MOST_SAID
    assert len(found) - len(own) <= MOST_OTHERS
    assert set(found) <= set(vocabulary([text])) | set(others)


def test_three_in_ten_lists_have_no_word_of_the_text() -> None:
    others = vocabulary(["voicemail conference extension"])
    lists = [hotwords("Asterisk answers", others, np.random.default_rng(i)) for i in range(400)]

    assert 0.2 < sum("Asterisk" not in w and "answers" not in w for w in lists) / 400 < 0.4


def test_a_list_stands_before_the_start_of_a_label_and_nothing_of_it_is_a_target() -> None:
    clip = Clip(id="a", pcm=np.full(16_000, 100, np.int16), text="turn on the lights")
    window = PlannedWindow((0,), (), 1.0, 1.0, False, False, 5)
    labels = LabelOptions(hotwords_probability=1.0, timestamp_probability=0.0)
    made = example([clip], window, TOKENS, labels, AugmentOptions(), ("kitchen", "bedroom"))
    without = example([clip], window, TOKENS, labels, AugmentOptions())

    inputs, targets = made.label.inputs, made.label.targets
    start = inputs.index(TOKENS.start)
    assert inputs[0] == TOKENS.previous
    assert set(TOKENS.decode(inputs[1:start]).replace(",", "").split()) <= {
        *"kitchen bedroom turn lights".split()
    }
    assert set(targets[:start]) == {IGNORED}
    assert inputs[start:] == without.label.inputs
    assert targets[start:] == without.label.targets
