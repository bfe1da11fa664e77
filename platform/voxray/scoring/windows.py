"""Scores of a model that is served on short windows beside a teacher on 30 s: errors, loops, inventions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from voxray.audio import SAMPLE_RATE, WINDOW_S, to_pcm
from voxray.corpora.store import Clip
from voxray.scoring.metrics import Summary, score_clip, summarise
from voxray.text import NormaliserName
from voxray.whisper.comparison import transcribe_on
from voxray.whisper.ctranslate import WINDOWS_S, CTranslate2Engine
from voxray.whisper.engines import DecodingResult

SILENCES = 20  # clips without a word
MAX_SILENCE_S = 10.0  # of each
TOLERANCE_TO_TEACHER = 5.0  # points, where no reference says which of the two is right


@dataclass(frozen=True, slots=True)
class WindowScore:
    """A model served with the smallest window `window_s`: each clip on the next window that holds it.

    Rates are in per cent. `wer` is against the references and `wer_of_teacher` the teacher's on the same
    clips, both None where clips lack references. `loops` and `loops_of_teacher` are repeated 5-grams per
    1,000 words; `invented` and `invented_of_teacher` count the words found in silence and noise.
    """

    window_s: float
    wer_to_teacher: float
    wer: float | None
    wer_of_teacher: float | None
    loops: float
    loops_of_teacher: float
    invented: int
    invented_of_teacher: int

    @property
    def rate(self) -> float:
        """Return the WER against the references, or where there are none against the teacher."""
        return self.wer_to_teacher if self.wer is None else self.wer

    def passes(self, tolerance: float) -> bool:
        """Return whether WER is within `tolerance` points of the teacher's, without more loops or inventions.

        Without references, the words that differ from the teacher's may be TOLERANCE_TO_TEACHER points.
        """
        if self.loops > self.loops_of_teacher or self.invented > self.invented_of_teacher:
            return False
        if self.wer is None or self.wer_of_teacher is None:
            return self.wer_to_teacher <= TOLERANCE_TO_TEACHER
        return self.wer <= self.wer_of_teacher + tolerance


def smallest_passed(scores: Sequence[WindowScore], tolerance: float) -> float | None:
    """Return the smallest window that passed together with every larger one; None where 30 s did not."""
    passed = None
    for score in sorted(scores, key=lambda s: -s.window_s):
        if not score.passes(tolerance):
            break
        passed = score.window_s
    return passed


@dataclass(frozen=True, slots=True)
class TeacherTexts:
    """What a teacher transcribes on 30 s in each clip, and how many words in silence and noise."""

    texts: Sequence[str]
    invented: int

    @classmethod
    def of(cls, engine: CTranslate2Engine, clips: Sequence[Clip], wordless: Sequence[Clip] = ()) -> Self:
        """Return what `engine` transcribes in `clips` and in `wordless` ones."""
        texts = [result.text for result in _transcribed(engine, clips, WINDOW_S)]
        return cls(texts, invented_words(engine, wordless, WINDOW_S))


class WindowEvaluator:
    """Scores models on `clips`, and on `wordless` ones, against what a teacher transcribes on 30 s."""

    def __init__(
        self,
        clips: Sequence[Clip],
        teacher: TeacherTexts,
        name: NormaliserName = "auto",
        wordless: Sequence[Clip] = (),
    ) -> None:
        self.clips, self.teacher, self.name, self.wordless = clips, teacher, name, wordless
        self.referenced = all(clip.text for clip in clips)

    def scores(self, engine: CTranslate2Engine, smallest_s: float) -> Iterator[WindowScore]:
        """Yield the scores of `engine` with each smallest window from `smallest_s` up, one by one."""
        return (self.score(engine, window) for window in WINDOWS_S if window >= smallest_s)

    def score(self, engine: CTranslate2Engine, window_s: float) -> WindowScore:
        """Return the score of `engine` where no clip is padded to less than `window_s`."""
        hypotheses = self.hypotheses(engine, window_s)
        texts = [clip.text for clip in self.clips]
        teacher, student = self._summary(self.teacher.texts, hypotheses), self._summary(texts, hypotheses)
        teacher_own = self._summary(texts, self.teacher.texts)
        return WindowScore(
            window_s=window_s,
            wer_to_teacher=_percent(teacher),
            wer=_percent(student) if self.referenced else None,
            wer_of_teacher=_percent(teacher_own) if self.referenced else None,
            loops=round(student.repeated_per_1000, 2),
            loops_of_teacher=round(teacher_own.repeated_per_1000, 2),
            invented=invented_words(engine, self.wordless, window_s),
            invented_of_teacher=self.teacher.invented,
        )

    def hypotheses(self, engine: CTranslate2Engine, window_s: float) -> list[str]:
        """Return what `engine` transcribes in each clip where none is padded to less than `window_s`."""
        return [result.text for result in _transcribed(engine, self.clips, window_s)]

    def _summary(self, texts: Sequence[str], hypotheses: Sequence[str]) -> Summary:
        rows = zip(self.clips, texts, hypotheses, strict=True)
        return summarise(
            [score_clip("", text, words, 0.0, clip.language, self.name) for clip, text, words in rows]
        )


def invented_words(engine: CTranslate2Engine, wordless: Sequence[Clip], window_s: float) -> int:
    """Return how many words `engine` finds in `wordless` clips, none padded to less than `window_s`."""
    return sum(len(result.text.split()) for result in _transcribed(engine, wordless, window_s))


def silences(rng: np.random.Generator, count: int = SILENCES, max_s: float = MAX_SILENCE_S) -> list[Clip]:
    """Return clips without words, 1 s to `max_s`, of digital silence and white noise in turn."""
    return [_wordless(rng, i, float(rng.uniform(1.0, max_s))) for i in range(count)]


def _wordless(rng: np.random.Generator, index: int, seconds: float) -> Clip:
    level = 0.0 if index % 2 == 0 else 10 ** rng.uniform(-3.5, -1.5)  # of full scale: -70 to -30 dB
    pcm = to_pcm(rng.normal(0.0, level, round(seconds * SAMPLE_RATE)))
    return Clip(id=f"{'noise' if level else 'silence'}-{index:03d}", pcm=pcm, text="")


def _transcribed(engine: CTranslate2Engine, clips: Sequence[Clip], window_s: float) -> list[DecodingResult]:
    return transcribe_on(engine, [c.pcm for c in clips], [c.language or None for c in clips], window_s)


def _percent(summary: Summary) -> float:
    return round(100 * summary.wer, 2)
