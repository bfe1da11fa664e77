import numpy as np

from voxray.audio import SAMPLE_RATE
from voxray.corpora.store import Clip
from voxray.scoring.invented import InventedWords, invented_in
from voxray.whisper.engines import DecodingResult


def result(text: str, language: str = "en", avg_logprob: float = -0.1) -> DecodingResult:
    return DecodingResult(text, language, (), (), (), avg_logprob, 0.0, 1.0)


def test_words_in_silence_are_counted_per_minute_and_after_the_guards() -> None:
    clips = [Clip(str(k), np.zeros(15 * SAMPLE_RATE, np.int16), "") for k in range(4)]
    results = [result("thank you"), result("maybe so", avg_logprob=-2.0), result(""), result("谢谢你", "zh")]
    found = invented_in(clips, results)
    assert found == InventedWords(60.0, words=7, guarded=5)
    assert (found.per_minute, found.per_hour, found.guarded_per_hour) == (7.0, 420.0, 300.0)
    assert found + InventedWords() == found
    assert InventedWords().per_minute == 0.0
