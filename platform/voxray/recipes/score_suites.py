"""The suites of a score: each scores one loaded model on the clips that were prepared for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import TypeVar

from voxray.audio import WINDOW_S, Pcm
from voxray.corpora.store import Clip
from voxray.recipes.score_material import SuiteMaterial
from voxray.recipes.score_models import ModelEngine
from voxray.scoring.cut_clips import score_cut
from voxray.scoring.invented import InventedWords, invented_in
from voxray.scoring.live import LiveScore, play_live
from voxray.scoring.long_form import algorithms, score_long_form
from voxray.scoring.metrics import pooled
from voxray.scoring.subset import spread
from voxray.scoring.suite_scores import SuiteName, SuiteScores
from voxray.scoring.suites import Scores, score_engine, scores_of
from voxray.serving.audio_input.voice_activity import SileroModel
from voxray.serving.protocol import Job
from voxray.serving.transcriber.decoder import Decoder
from voxray.streaming.events import DecodeRequest, Hypothesis
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.engines import DecodingOptions, Engine
from voxray.whisper.models import hf_folder
from voxray.whisper.tokens import Tokens

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is loaded, and the material that it is scored on."""

    model: ModelEngine
    engine: Engine
    material: SuiteMaterial

    def scores(self, clips: Sequence[Clip], options: DecodingOptions | None = None) -> Scores:
        """Transcribe and score `clips`, as the material's options say unless others are given."""
        return score_engine(
            self.engine,
            clips,
            options or self.material.options,
            normaliser=self.material.normaliser,
            max_pause_s=self.model.max_pause_s,
        )

    def rates(self, conditions: Mapping[K, Sequence[Clip]]) -> dict[K, float]:
        """Return the error rate in each condition, in per cent; all are decoded in one go."""
        scored = iter(self.scores([clip for clips in conditions.values() for clip in clips]).clips)
        parts = {name: list(islice(scored, len(clips))) for name, clips in conditions.items()}
        return {name: percent(pooled([s.errors for s in part]).rate) for name, part in parts.items()}


def score_noise(subject: Subject) -> SuiteScores:
    """Score clips in each kind of noise, at each ratio."""
    rates = subject.rates(subject.material.noisy)
    kinds = dict.fromkeys(kind for kind, _ in rates)
    return SuiteScores({kind: {snr: rate for (k, snr), rate in rates.items() if k == kind} for kind in kinds})


def score_telephone(subject: Subject) -> SuiteScores:
    """Score clips over a telephone line."""
    return SuiteScores(
        {name: {"wer": rate} for name, rate in subject.rates(subject.material.telephoned).items()}
    )


def score_silence(subject: Subject) -> SuiteScores:
    """Count words in silence and in noise."""
    wordless = subject.material.wordless
    found = {kind: _invented(subject, clips) for kind, clips in wordless.items() if clips}
    found["both"] = sum(found.values(), InventedWords())
    return SuiteScores(
        {
            kind: {
                "words": its.words,
                "words_per_minute": round(its.per_minute, 2),
                "words_per_hour": round(its.per_hour, 1),
                "words_per_hour_guarded": round(its.guarded_per_hour, 1),
            }
            for kind, its in found.items()
        }
    )


def _invented(subject: Subject, clips: Sequence[Clip]) -> InventedWords:
    languages = [clip.language for clip in clips]
    results = subject.engine.transcribe([c.pcm for c in clips], subject.material.options, languages)
    return invented_in(clips, results)


def score_cut_clips(subject: Subject) -> SuiteScores:
    """Score clips that are cut, and count the words after the cut."""
    cuts = subject.material.cut
    hypotheses = [s.hypothesis for s in subject.scores([c.clip for c in cuts]).clips]
    scores = [
        score_cut(c, text, subject.material.normaliser) for c, text in zip(cuts, hypotheses, strict=True)
    ]
    figures = {
        "wer": percent(pooled([s.score.errors for s in scores]).rate),
        "clips": len(scores),
        "words_after": sum(s.invented for s in scores),
        "clips_with_words_after": percent(sum(s.invented > 0 for s in scores) / len(scores)),
    }
    return SuiteScores({"cut at random": figures})


def score_long(subject: Subject) -> SuiteScores:
    """Score long recordings, by each algorithm that the engine can run."""
    its = subject.material
    found = {
        name: score_long_form(algorithm, its.long, its.options, name=its.normaliser)
        for name, algorithm in algorithms(subject.engine).items()
    }
    return SuiteScores(
        {
            name: {
                "wer": percent(scores.summary.wer),
                "rtfx": round(scores.rtfx, 2),
                "repeated_per_1000": round(scores.summary.repeated_per_1000, 2),
            }
            for name, scores in found.items()
        }
    )


def score_live(subject: Subject) -> SuiteScores:
    """Play recordings to a session on a virtual clock, one after another."""
    if not isinstance(subject.engine, CTranslate2Engine):
        return SuiteScores({}, "the live service decodes with CTranslate2 alone")
    its, vad, decoder = subject.material, SileroModel(), Decoder(subject.engine)
    played = [
        play_live(clip.pcm, clip.language, vad.detector().probabilities, partial(_decoded, decoder))
        for clip in its.live
    ]
    total = sum(played, LiveScore())
    figures = {
        "wer": percent(
            scores_of(its.live, total.texts, compute_s=0.0, normaliser=its.normaliser).summary.wer
        ),
        "latency_p50_s": _rounded(total.latency_s(0.5)),
        "latency_p95_s": _rounded(total.latency_s(0.95)),
        "changed": percent(total.changed_share),
        "decodes": total.decodes,
    }
    return SuiteScores({"one client": figures})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _decoded(decoder: Decoder, request: DecodeRequest, pcm: Pcm) -> Hypothesis | None:
    """Decode the window of a request as the service does."""
    job = Job(
        session="",
        number=request.id,
        pcm=pcm.astype("<i2").tobytes(),
        prefix=request.prefix,
        mode=request.mode,
        word_times=request.word_times,
        language=request.language,
        task="transcribe",
        prompt="",
        hotwords="",
        due_in_s=0.0,
    )
    return decoder.decode([job])[0]


SUITES: Mapping[SuiteName, Callable[[Subject], SuiteScores]] = {
    "noise": score_noise,
    "telephone": score_telephone,
    "silence": score_silence,
    "cut": score_cut_clips,
    "long": score_long,
    "live": score_live,
}
"""The suites of one model; the corpus itself is scored first, and `speculative` takes two models."""


def run_suite(name: SuiteName, subject: Subject) -> SuiteScores:
    """Run one suite; where its clips would have to fit one window, and none does, a note says so."""
    if name not in ("silence", "long", "live") and not spread(subject.material.clips, 1):
        return SuiteScores({}, f"no clip with words of at most {WINDOW_S:g} s")
    return SUITES[name](subject)


def score_speculative(
    models: Sequence[ModelEngine], parameters: Sequence[int | None], material: SuiteMaterial
) -> dict[str, SuiteScores]:
    """Let the smallest model draft for the largest; of several alike, the first is the teacher.

    The result is under the names of both, or under no name with a note where it cannot be.
    """
    if len(models) < 2:
        return {"": SuiteScores({}, "it takes two models")}
    if not (find_spec("torch") and find_spec("transformers")):
        return {"": SuiteScores({}, "it takes torch and transformers; pip install 'voxray[train]'")}
    sizes = [size or 0 for size in parameters]
    teacher = sizes.index(max(sizes))
    student = min((i for i in range(len(models)) if i != teacher), key=lambda i: sizes[i])
    name = f"{models[teacher].name} with {models[student].name}"
    folders = [hf_folder(models[i].model) for i in (teacher, student)]
    if len({len(Tokens.load(folder).tokenizer.get_vocab()) for folder in folders}) > 1:
        return {name: SuiteScores({}, "the vocabularies of both differ")}
    from voxray.scoring.speculative import speculate  # 5 s of imports
    from voxray.whisper.checkpoint import load_model

    largest, smallest = (load_model(folder).eval() for folder in folders)
    found = speculate(largest, smallest, spread(material.clips, material.most.speculative))
    figures = {
        "clips": found.clips,
        "same_texts": percent(found.same_texts / max(1, found.clips)),
        "speed_up": round(found.speed_up, 2),
        "acceptance": percent(found.acceptance),
    }
    return {name: SuiteScores({"batch 1, float32": figures})}


def percent(rate: float) -> float:
    """Return a fraction in per cent, with two digits."""
    return round(100 * rate, 2)
