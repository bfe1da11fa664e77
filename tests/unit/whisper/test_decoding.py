"""The decode path that files, labels and live windows share, on the small int8 model and clips."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tests.small_model import SMALL_MODEL_CLIPS, SMALL_MODEL_INT8

from voxray.audio import Pcm, decode, duration_s
from voxray.text import MAX_COMPRESSION_RATIO, compression_ratio
from voxray.whisper.ctranslate import CTranslate2Engine
from voxray.whisper.decoding import (
    AudioWindow,
    Decoded,
    WindowDecoder,
    cached_rows,
)
from voxray.whisper.engines import DecodingOptions, decoding_result
from voxray.whisper.loops import repeats

ENGLISH = DecodingOptions(language="en")
LIVE = DecodingOptions(max_new_tokens=448)


@pytest.fixture(scope="module")
def engine() -> CTranslate2Engine:
    return CTranslate2Engine(SMALL_MODEL_INT8, device="cpu")


def stuck_clips(count: int, repetitions: int) -> list[Pcm]:
    """A tenth of a second of speech over and over, which sends the decoder into loops."""
    clips = [decode(p) for p in sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[:count]]
    return [np.tile(c[len(c) // 2 : len(c) // 2 + 1600], repetitions) for c in clips]


def decoded(
    engine: CTranslate2Engine,
    windows: Sequence[AudioWindow],
    window_s: float,
    decoder: WindowDecoder | None = None,
) -> list[Decoded]:
    states = engine.encode([w.pcm for w in windows], window_s)
    return (decoder or engine.decoder).decode(windows, states, window_s, LIVE)


@pytest.mark.parametrize(("count", "repetitions", "window_s"), [(25, 30, 4.0), (1, 290, 30.0)])
def test_repetitions_are_decoded_again_at_short_and_long_windows_and_in_every_path(
    engine: CTranslate2Engine, count: int, repetitions: int, window_s: float
) -> None:
    stuck = stuck_clips(count, repetitions)
    prompts = [engine.tokens.prompt("en")] * len(stuck)
    endless = engine.model.generate(engine.encode(stuck, window_s), prompts, beam_size=1, max_length=448)
    texts = [engine.tokens.decode(r.sequences_ids[0]) for r in endless]
    assert any(compression_ratio(text) > MAX_COMPRESSION_RATIO for text in texts)  # or nothing is tested

    of_files = engine.transcribe(stuck, ENGLISH)
    live = decoded(engine, [AudioWindow(clip, "en") for clip in stuck], window_s)

    for clip, file, window in zip(stuck, of_files, live, strict=True):
        for ids in (file.tokens, window.ids):
            assert not repeats(engine.tokens, ids, duration_s(clip))


def test_a_text_at_the_limit_of_tokens_is_truncated(engine: CTranslate2Engine) -> None:
    clip = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])
    states = engine.encode([clip], 4.0)
    found = {}
    for limit in (2, 3, 224):
        options = DecodingOptions(max_new_tokens=limit)
        [found[limit]] = engine.decoder.decode([AudioWindow(clip, "en")], states, 4.0, options)

    assert [found[limit].truncated for limit in (2, 3, 224)] == [True, True, False]
    assert [len(found[limit].ids) for limit in (2, 3)] == [2, 3]
    assert [found[limit].words is None for limit in (2, 3, 224)] == [False, False, True]
    assert found[224].text.startswith(found[3].text)


def test_a_text_of_many_tokens_is_decoded_to_its_end(engine: CTranslate2Engine) -> None:
    """A window that holds more tokens than are first allowed for its length, as in scripts of many bytes."""
    clip = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])
    [whole] = decoded(engine, [AudioWindow(clip, "en")], 4.0)
    states = engine.encode([clip], 4.0)

    [found] = engine.decoder.decode([AudioWindow(clip, "en")], states, -1.5, LIVE)  # allows two tokens

    assert len(whole.ids) > 2
    assert (found.ids, found.truncated) == (whole.ids, False)


def test_a_forced_prefix_that_repeats_is_kept_and_not_decoded_again(engine: CTranslate2Engine) -> None:
    prefix = tuple(engine.tokens.encode(" six" * 20))
    clip = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])

    [found] = decoded(engine, [AudioWindow(clip, "en", prefix=prefix)], 4.0)

    assert found.ids[: len(prefix)] == prefix


def test_words_of_scripts_without_spaces_are_timed_by_character_in_files_as_live(
    engine: CTranslate2Engine,
) -> None:
    clip = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])
    prefix = tuple(engine.tokens.encode("今天天气"))
    [live] = decoded(engine, [AudioWindow(clip, "zh", prefix=prefix, words=True)], 4.0)
    of_file = decoding_result(
        engine.tokens,
        live.ids,
        clip,
        "zh",
        avg_logprob=live.avg_logprob,
        no_speech_prob=live.no_speech_prob,
        words=live.words or (),
    )

    assert [w.text for w in live.words or ()][:3] == [w.text for w in of_file.words][:3] == ["今", "天", "天"]
    assert "".join(w.text for w in live.words or ()) == live.text
    assert all(0 <= w.start_s <= w.end_s <= duration_s(clip) for w in of_file.words)


def test_languages_are_detected_among_those_of_the_model(engine: CTranslate2Engine) -> None:
    clip = decode(sorted(SMALL_MODEL_CLIPS.glob("*.ogg"))[0])
    windows = [AudioWindow(clip), AudioWindow(clip, "fr")]
    two, others = (replace(engine.decoder, languages=codes) for codes in (("de", "en"), ("de", "fr")))

    assert [d.language for d in decoded(engine, windows, 4.0, two)] == ["en", "fr"]
    assert decoded(engine, windows[:1], 4.0, others)[0].language in {"de", "fr"}
    assert decoded(engine, windows[:1], 4.0, replace(two, languages=("de",)))[0].language == "de"


@pytest.mark.parametrize(
    ("trained", "named", "language"),
    [(("en",), "fr", "en"), (("fr",), "fr", "fr"), (("fr",), None, "fr"), (("fr", "es"), "es", "es")],
)
def test_a_vocabulary_without_languages_has_those_that_it_was_trained_on(
    engine: CTranslate2Engine, trained: tuple[str, ...], named: str | None, language: str
) -> None:
    tokens = replace(engine.tokens, languages={})
    decoder = replace(engine.decoder, tokens=tokens, languages=trained)
    [window] = decoder._with_languages([AudioWindow(np.zeros(16_000, np.int16), named)], None)
    assert window.language == language


def test_a_gpu_takes_all_rows_at_once_and_a_cpu_what_fits_its_cache() -> None:
    assert list(cached_rows(range(5), 10.0, "cuda")) == [range(5)]
    assert list(cached_rows(range(5), 10.0, "cpu")) == [range(2), range(2, 4), range(4, 5)]
    assert list(cached_rows(range(2), 30.0, "cpu")) == [range(1), range(1, 2)]
    assert list(cached_rows([], 30.0, "cuda")) == []
