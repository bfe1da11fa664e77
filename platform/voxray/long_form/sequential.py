"""Long form as OpenAI's Whisper does it: one window after another, the next where timestamps say so.

After openai/whisper (transcribe.py), with its bounds and without the text before a window as context.
"""

from collections.abc import Sequence
from dataclasses import replace

from voxray.audio import SAMPLE_RATE, WINDOW_S, WINDOW_SAMPLES, Pcm, duration_s
from voxray.guards import GuardResult, Guards
from voxray.long_form.ordering import in_order
from voxray.transcribe import TIME_DIGITS, UNDETERMINED, segments_of
from voxray.transcript import Segment, Transcript, Word
from voxray.whisper.ctranslate import CTranslate2Engine, window_s
from voxray.whisper.decoding import AudioWindow, Decoded
from voxray.whisper.engines import DecodingOptions, DecodingResult, split_segments
from voxray.whisper.prompts import previous_tokens
from voxray.whisper.tokens import Tokens

MIN_SEEK_S = 0.1  # a window goes on by so much at least, whatever its timestamps say


def transcribe_sequentially(
    pcm: Pcm, engine: CTranslate2Engine, options: DecodingOptions, guards: Guards | None = None
) -> Transcript:
    """Transcribe a recording of any length; each window is decoded by itself, without batches.

    A window is decoded greedily; where the guards doubt the text, at temperatures from 0.2 to 1.0, until they
    pass it. Text that they take for silence is dropped. Unless `options` name the language, it is that of the
    first window with text.
    """
    guards, options = guards or Guards(), options.model_copy(update={"timestamps": True})
    segments, at = list[Segment](), 0
    while at < len(pcm):
        window = pcm[at : at + WINDOW_SAMPLES]
        result = decode_with_fallback(window, engine, options, guards)
        seek_s = WINDOW_S
        if guards.check(result) is not GuardResult.SILENCE:
            ids, seek_s = split_at_seek(engine.tokens, result.tokens, duration_s(window))
            kept = split_segments(engine.tokens, ids, duration_s(window))
            words = tuple(_within(word, seek_s) for word in result.words)
            segments += segments_of(replace(result, segments=kept, words=words), at / SAMPLE_RATE)
        if segments:
            options = options.model_copy(update={"language": options.language or result.language})
        at += max(round(seek_s * SAMPLE_RATE), round(MIN_SEEK_S * SAMPLE_RATE))
    language = options.language or UNDETERMINED
    return Transcript(tuple(in_order(segments)), language, round(duration_s(pcm), TIME_DIGITS))


def _within(word: Word, lasts_s: float) -> Word:
    """Return a word that ends where the next window begins at the latest: alignment may stretch the last."""
    return replace(word, start_s=min(word.start_s, lasts_s), end_s=min(word.end_s, lasts_s))


def decode_with_fallback(
    window: Pcm, engine: CTranslate2Engine, options: DecodingOptions, guards: Guards
) -> DecodingResult:
    """Decode one window greedily, and where the guards do not pass that, at rising temperatures."""
    previous = previous_tokens(engine.tokens, options.prompt, options.hotwords)
    audio = AudioWindow(window, options.language, options.task, previous, words=options.words)
    padded_s = window_s(duration_s(window), engine.min_window_s)
    states = engine.encode([window], padded_s)

    def sound(decoded: Decoded) -> bool:
        return guards.check(engine.result(decoded, window, options)) is GuardResult.SOUND

    greedy = engine.result(engine.decoder.decode([audio], states, padded_s, options)[0], window, options)
    if guards.check(greedy) in (GuardResult.SOUND, GuardResult.SILENCE):
        return greedy
    known = replace(audio, language=greedy.language)
    sampled = engine.decoder.decode([known], states, padded_s, options, accept=sound)
    return engine.result(sampled[0], window, options)


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
