"""The live decoder, on the small model in int8 and its clips."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import ctranslate2
import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import SAMPLE_RATE, Pcm, decode
from voxray.errors import AudioError
from voxray.guards import Guards
from voxray.serving.protocol import Job
from voxray.serving.transcriber.decoder import FILE_BATCH_S, Decoder
from voxray.streaming.events import DecodeMode, Hypothesis
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.decoding import TEMPERATURES
from voxray.whisper.engines import DecodingOptions
from voxray.whisper.prompts import previous_tokens, text_room
from voxray.whisper.tokens import MAX_PREVIOUS_TOKENS
from voxray.word_segmentation import split_words


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    return CTranslate2Engine(SMALL_MODEL_INT8, device="cpu", threads=1)


@pytest.fixture(scope="module")
def decoder(engine: CTranslate2Engine) -> Decoder:
    return Decoder(engine)


@pytest.fixture(scope="module")
def clips() -> list[Pcm]:
    """Twelve clips of at most two seconds."""
    every = (decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[::3])
    return [clip for clip, _ in zip((c for c in every if len(c) <= 2 * SAMPLE_RATE), range(12), strict=False)]


def job(pcm: Pcm | bytes, **changes: Any) -> Job:
    data = pcm if isinstance(pcm, bytes) else pcm.tobytes()
    asked = Job("1.a", 0, data, "", DecodeMode.PARTIAL, False, None, "transcribe", "", "", 0.5)
    return replace(asked, **changes)


def hypotheses_of(decoder: Decoder, *jobs: Job) -> list[Hypothesis]:
    found = decoder.decode(jobs)
    assert all(found)
    return [h for h in found if h]


def texts(hypotheses: list[Hypothesis]) -> list[str]:
    return ["".join(w.text for w in h.words) for h in hypotheses]


def test_a_batch_gives_each_window_what_it_gives_alone(decoder: Decoder, clips: list[Pcm]) -> None:
    jobs = [job(c, number=i) for i, c in enumerate(clips)]
    alone = [hypotheses_of(decoder, j)[0] for j in jobs]
    together = hypotheses_of(decoder, *jobs)

    assert len(set(texts(alone))) > len(clips) // 2
    assert texts(together) == texts(alone)
    assert [h.avg_logprob for h in together] == pytest.approx([h.avg_logprob for h in alone], abs=1e-3)
    assert [h.no_speech_prob for h in together] == pytest.approx([h.no_speech_prob for h in alone], abs=1e-3)


def test_a_batch_of_long_windows_is_encoded_in_pieces_and_gives_the_same(
    decoder: Decoder, clips: list[Pcm]
) -> None:
    longer = [np.concatenate(clips[i : i + 4]) for i in range(5)]
    jobs = [job(c, number=i, word_times=True) for i, c in enumerate(longer)]
    assert decoder.group(jobs[0]).window_s * len(jobs) > 20

    assert texts(hypotheses_of(decoder, *jobs)) == texts([hypotheses_of(decoder, j)[0] for j in jobs])


def test_live_windows_give_what_files_give(
    engine: CTranslate2Engine, decoder: Decoder, clips: list[Pcm]
) -> None:
    engines_own = engine.transcribe(clips, DecodingOptions(language="en"))

    found = hypotheses_of(decoder, *(job(c) for c in clips))

    assert [h.text for h in found] == [h.text for h in engines_own]
    assert [h.avg_logprob for h in found] == pytest.approx([h.avg_logprob for h in engines_own], abs=1e-3)
    assert [h.compression_ratio for h in found] == pytest.approx(
        [h.compression_ratio for h in engines_own], abs=0.2
    )
    assert {h.language for h in found} == {"en"}


def test_a_forced_prefix_is_kept_byte_for_byte_and_goes_on(decoder: Decoder, clips: list[Pcm]) -> None:
    free = texts(hypotheses_of(decoder, *(job(c) for c in clips)))
    halves = ["".join(split_words(t)[: len(split_words(t)) // 2]) for t in free]

    found = texts(hypotheses_of(decoder, *(job(c, prefix=p) for c, p in zip(clips, halves, strict=True))))

    assert all(halves)
    assert found == free


@pytest.mark.parametrize(
    "prefix", [" Naïve — “ünï” 漢字 (♪)", " <|en|> <|startoftranscript|>", "  two  gaps", "🙂"]
)
def test_a_prefix_that_were_not_spoken_is_kept_too(decoder: Decoder, clips: list[Pcm], prefix: str) -> None:
    wrong, free = texts(hypotheses_of(decoder, job(clips[0], prefix=prefix), job(clips[1])))

    assert wrong.startswith(prefix)
    assert [free] == texts(hypotheses_of(decoder, job(clips[1])))


def test_only_what_is_not_forced_is_scored(decoder: Decoder, clips: list[Pcm]) -> None:
    [free] = hypotheses_of(decoder, job(clips[0]))
    [text] = texts([free])
    [all_forced] = hypotheses_of(decoder, job(clips[0], prefix=text))

    assert texts([all_forced]) == [text]
    assert free.avg_logprob is not None
    assert all_forced.avg_logprob is not None
    assert -0.5 < free.avg_logprob < 0
    assert -0.5 < all_forced.avg_logprob < 0  # that of the end alone


def test_words_come_with_times_where_they_are_asked_for(decoder: Decoder, clips: list[Pcm]) -> None:
    timed, plain = hypotheses_of(decoder, job(clips[0], word_times=True), job(clips[0]))
    times = [t for w in timed.words for t in (w.start_s, w.end_s) if t is not None]

    assert [w.text for w in timed.words] == [w.text for w in plain.words]
    assert {w.start_s for w in plain.words} == {None}
    assert len(times) == 2 * len(timed.words)
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= len(clips[0]) / SAMPLE_RATE
    assert all(a.end_s == b.start_s for a, b in pairwise(timed.words))
    assert all(0 < (w.probability or 0) <= 1 for w in timed.words)


def test_silence_has_no_words(decoder: Decoder) -> None:
    silence = np.zeros(SAMPLE_RATE, dtype=np.int16)
    [found] = hypotheses_of(decoder, job(silence, mode=DecodeMode.FINAL, word_times=True))

    assert (found.words, found.compression_ratio) == ((), 0.0)


@pytest.mark.parametrize(
    "broken",
    [
        {"pcm": b"odd"},
        {"pcm": b""},
        {"pcm": bytes(2 * 31 * SAMPLE_RATE)},
        {"prefix": " nine" * 448},
        {"task": "summarise"},
    ],
    ids=["odd bytes", "no samples", "over 30 s", "prefix", "task"],
)
def test_a_job_that_cannot_be_decoded_fails_alone(
    decoder: Decoder, clips: list[Pcm], broken: dict[str, Any]
) -> None:
    good = job(clips[0])
    wrong = replace(good, **broken)
    decoder.group(wrong)

    before, failed, after = decoder.decode([good, wrong, good])

    assert failed is None
    assert before == after == decoder.decode([good])[0]
    assert decoder.decode([wrong]) == [None]


def test_the_longest_prefix_that_fits_is_decoded_with_times(
    engine: CTranslate2Engine, decoder: Decoder, clips: list[Pcm]
) -> None:
    most = text_room(engine.tokens, len(previous_tokens(engine.tokens, "six " * 300, ""))) - 1
    made = job(clips[0], prefix="7" * most, prompt="six " * 300, word_times=True)
    [found] = hypotheses_of(decoder, made)

    assert texts([found])[0].startswith("7" * most)
    assert decoder.decode([replace(made, prefix="7" * (most + 1))]) == [None]


def test_the_language_is_the_jobs_own_before_the_models(decoder: Decoder, clips: list[Pcm]) -> None:
    found = hypotheses_of(
        decoder, job(clips[0], language="de"), job(clips[0]), job(clips[0], task="translate")
    )

    assert [h.language for h in found] == ["de", "en", "en"]


def test_a_language_that_the_model_does_not_know_is_detected(decoder: Decoder, clips: list[Pcm]) -> None:
    cantonese, plain = job(clips[0], language="yue", word_times=True), job(clips[0], word_times=True)

    assert hypotheses_of(decoder, cantonese) == hypotheses_of(decoder, plain)


def test_a_group_gives_where_the_start_token_stands(decoder: Decoder, clips: list[Pcm]) -> None:
    bare = decoder.group(job(clips[0]))
    prompted = decoder.group(job(clips[0], prompt=" six plus "))
    spoken_of = decoder.group(job(clips[0], prompt="six plus", hotwords="eleven"))
    long = decoder.group(job(clips[0], prompt="six plus " * 400))

    assert (bare.previous_tokens, bare.task_tokens, bare.window_s, bare.temperature) == (0, 4, 2.0, 0.0)
    assert 1 < prompted.previous_tokens < spoken_of.previous_tokens < long.previous_tokens
    assert long.previous_tokens == MAX_PREVIOUS_TOKENS + 1
    assert decoder.group(job(clips[0], mode=DecodeMode.FALLBACK)).temperature > 0
    assert decoder.group(job(bytes(2 * 7 * SAMPLE_RATE))).window_s == 8.0


def test_hotwords_stand_before_the_prompt_and_its_end_is_kept(engine: CTranslate2Engine) -> None:
    tokens = engine.tokens
    previous = partial(previous_tokens, tokens)

    assert tokens.decode(previous(" of two. ", "Ray, Voxray")) == " Ray, Voxray of two."
    assert tokens.decode(previous("six " * 300 + "eleven", "gone")).endswith(" six six eleven")
    assert tokens.start not in previous("<|startoftranscript|>", "<|startofprev|>\ud800")
    assert previous(" ", "") == ()


@pytest.mark.parametrize("times", [1, 60])
def test_prompted_windows_are_decoded_together(decoder: Decoder, clips: list[Pcm], times: int) -> None:
    jobs = [job(c, prompt="What is two plus two?" * times, prefix=" What") for c in clips[:3]]

    assert texts(hypotheses_of(decoder, *jobs)) == [texts(hypotheses_of(decoder, j))[0] for j in jobs]


@pytest.fixture
def seeded() -> None:
    ctranslate2.set_random_seed(7)


@pytest.mark.usefixtures("seeded")
def test_a_fallback_takes_the_first_that_passes(decoder: Decoder, clips: list[Pcm]) -> None:
    asked = [job(c, mode=DecodeMode.FALLBACK, word_times=True, prefix=" What") for c in clips]
    found = hypotheses_of(decoder, *asked)
    greedy = texts(hypotheses_of(decoder, *(replace(a, mode=DecodeMode.FINAL) for a in asked)))

    assert all(t.startswith(" What") for t in texts(found))
    assert sum(a == b for a, b in zip(texts(found), greedy, strict=True)) > len(clips) // 2
    assert all(w.end_s is not None for h in found for w in h.words)


@pytest.mark.usefixtures("seeded")
def test_a_fallback_that_never_passes_is_the_likeliest(engine: CTranslate2Engine, clips: list[Pcm]) -> None:
    strict = Decoder(engine, Guards(min_avg_logprob=1.0))
    [found] = hypotheses_of(strict, job(clips[0], mode=DecodeMode.FALLBACK))
    hottest = [h for _ in range(5) for h in hypotheses_of(strict, job(clips[0], mode=DecodeMode.FALLBACK))]

    assert len(TEMPERATURES) == 5
    assert max(h.avg_logprob or -9 for h in [found, *hottest]) < 0
    assert found.avg_logprob is not None
    assert found.avg_logprob > -0.5


def test_it_knows_the_languages_that_the_model_was_trained_on(engine: CTranslate2Engine) -> None:
    """The vocabulary has 99, whatever the model was trained on."""
    assert len(engine.tokens.languages) > 90
    assert Decoder(engine).description.languages == ("en",)


def test_files_are_split_into_batches_that_live_windows_can_wait_for(
    engine: CTranslate2Engine, decoder: Decoder, clips: list[Pcm]
) -> None:
    batches = list(decoder.file_batches(clips * 3))
    [whole] = decoder.file_batches([np.zeros(30 * SAMPLE_RATE, dtype=np.int16)])

    assert sorted(i for batch in batches for i in batch) == list(range(3 * len(clips)))
    assert all(2 * len(batch) <= FILE_BATCH_S for batch in batches)
    assert whole == [0]
    assert decoder.transcribe(clips, DecodingOptions()) == engine.transcribe(
        clips, DecodingOptions(language="en")
    )
    with pytest.raises(AudioError, match="clip 0"):
        list(decoder.file_batches([np.zeros(31 * SAMPLE_RATE, dtype=np.int16)]))
