"""Long form as OpenAI's Whisper does it: one window after another, the next where timestamps say so.

After openai/whisper (transcribe.py), with its bounds and without the text before a window as context.
"""

from collections.abc import Sequence
from dataclasses import replace

from voxray.audio import SAMPLE_RATE, WINDOW_S, WINDOW_SAMPLES, Pcm, duration_s
from voxray.guards import GuardResult, Guards
from voxray.whisper.ctranslate import CTranslate2Engine, window_s
from voxray.whisper.decoding import AudioWindow, Decoded
from voxray.whisper.engines import DecodingOptions, DecodingResult, decoding_result
from voxray.whisper.tokens import Tokens
from voxray.writing_systems import join_texts

MIN_SEEK_S = 0.1  # a window goes on by so much at least, whatever its timestamps say


def transcribe_sequentially(
    pcm: Pcm, engine: CTranslate2Engine, options: DecodingOptions, guards: Guards | None = None
) -> str:
    """Return the text of a recording of any length.

    A window is decoded greedily; where the guards doubt the text, at temperatures from 0.2 to 1.0, until they
    pass it. Text that they take for silence is dropped.
    """
    guards, options = guards or Guards(), options.model_copy(update={"timestamps": True})
    texts, at = [], 0
    while at < len(pcm):
        window = pcm[at : at + WINDOW_SAMPLES]
        result = decode_with_fallback(window, engine, options, guards)
        ids, seek_s = split_at_seek(engine.tokens, result.tokens, duration_s(window))
        if guards.check(result) is GuardResult.SILENCE:
            ids, seek_s = (), WINDOW_S
        texts.append(engine.tokens.decode(ids).strip())
        at += max(round(seek_s * SAMPLE_RATE), round(MIN_SEEK_S * SAMPLE_RATE))
    return join_texts(texts)


def decode_with_fallback(
    window: Pcm, engine: CTranslate2Engine, options: DecodingOptions, guards: Guards
) -> DecodingResult:
    """Decode one window greedily, and where the guards do not pass that, at rising temperatures."""
    audio = AudioWindow(window, options.language, options.task)
    padded_s = window_s(duration_s(window), engine.min_window_s)
    states = engine.encode([window], padded_s)

    def scored(decoded: Decoded) -> DecodingResult:
        return decoding_result(
            engine.tokens,
            decoded.ids,
            window,
            decoded.language,
            avg_logprob=decoded.avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
        )

    greedy = scored(engine.decoder.decode([audio], states, padded_s, options)[0])
    if guards.check(greedy) in (GuardResult.SOUND, GuardResult.SILENCE):
        return greedy
    known = replace(audio, language=greedy.language)
    sampled = engine.decoder.decode(
        [known], states, padded_s, options, accept=lambda d: guards.check(scored(d)) is GuardResult.SOUND
    )
    return scored(sampled[0])


def split_at_seek(tokens: Tokens, ids: Sequence[int], lasts_s: float) -> tuple[tuple[int, ...], float]:
    """Return the tokens of a window that are kept, and after how many seconds the next window begins.

    Two timestamps in a row end a segment: what follows the last two is decoded again in the next window,
    unless one timestamp ends the text, which says that nothing follows in this one.
    """
    timed = [tokens.is_timestamp(token) for token in ids]
    ends_in_one = timed[-2:] == [False, True]
    pairs = [i for i in range(1, len(ids)) if timed[i - 1] and timed[i]]
    if not pairs or ends_in_one:
        return tuple(ids), lasts_s
    return tuple(ids[: pairs[-1]]), min(tokens.seconds(ids[pairs[-1] - 1]), lasts_s)
