"""Texts that do not end in their window: the clip is cut in two, and the parts are decoded and joined again.

A text stops short at the limit of tokens (fast speech, or a script whose letters have several tokens each),
where a loop had to be cut off, and where the model ended it early (`early_end`).
"""

from collections.abc import Callable, Sequence

from voxray.audio import SAMPLE_RATE, Pcm, duration_s, quietest_s
from voxray.text import compression_ratio
from voxray.transcript import shifted
from voxray.whisper.engines import DecodingResult
from voxray.whisper.tokens import Tokens
from voxray.writing_systems import join_texts

MIN_PART_S = 3.0  # a shorter clip is not cut: what stays truncated there is no speech
NEAR_MIDDLE = 0.2  # of the clip on both sides of its middle: where its quietest place is looked for

Decode = Callable[[Sequence[Pcm], Sequence[str | None]], list[DecodingResult]]


def decode_whole(
    decode: Decode, clips: Sequence[Pcm], languages: Sequence[str | None], tokens: Tokens
) -> list[DecodingResult]:
    """Return what `decode` gives for `clips` and their `languages`, truncated texts decoded in parts.

    A result is still `truncated` where a part too short to be cut is.
    """
    results = decode(clips, languages)
    cuts = {i: at for i, result in enumerate(results) if (at := _cut(clips[i], result))}
    if cuts:
        parts = [part for i, at in cuts.items() for part in (clips[i][:at], clips[i][at:])]
        own = [results[i].language for i in cuts for _ in range(2)]
        found = iter(decode_whole(decode, parts, own, tokens))
        for i, at in cuts.items():
            results[i] = joined(tokens, next(found), next(found), at / SAMPLE_RATE)
    return results


def _cut(clip: Pcm, result: DecodingResult) -> int | None:
    """Return the sample at which a truncated clip is cut; None where it is not cut.

    That is the end of the last sentence that the text timed, else the quietest place near the middle.
    """
    lasts_s = duration_s(clip)
    if not result.truncated or lasts_s < 2 * MIN_PART_S:
        return None
    ended_s = result.segments[-2].end_s if len(result.segments) > 1 else 0.0
    if not MIN_PART_S <= ended_s <= lasts_s - MIN_PART_S:
        ended_s = quietest_s(clip, (0.5 - NEAR_MIDDLE) * lasts_s, (0.5 + NEAR_MIDDLE) * lasts_s)
    return round(ended_s * SAMPLE_RATE)


def joined(tokens: Tokens, first: DecodingResult, second: DecodingResult, at_s: float) -> DecodingResult:
    """Return the result of a clip from those of its parts, of which the second begins at `at_s`.

    `avg_logprob` is the mean over the tokens of both; `no_speech_prob` the lesser, as either may hold speech.
    """
    text = join_texts((first.text, second.text))
    silent = [p for p in (first.no_speech_prob, second.no_speech_prob) if p is not None]
    lengths = [len(r.tokens) + 1 for r in (first, second)]  # with the end of the text
    return DecodingResult(
        text=text,
        language=first.language,
        tokens=(*first.tokens, *(_later(tokens, t, at_s) for t in second.tokens)),
        segments=(*first.segments, *(shifted(s, at_s) for s in second.segments)),
        words=(*first.words, *(shifted(w, at_s) for w in second.words)),
        avg_logprob=(first.avg_logprob * lengths[0] + second.avg_logprob * lengths[1]) / sum(lengths),
        no_speech_prob=min(silent, default=None),
        compression_ratio=compression_ratio(text),
        token_probs=first.token_probs + second.token_probs,
        truncated=first.truncated or second.truncated,
    )


def _later(tokens: Tokens, token: int, by_s: float) -> int:
    return tokens.timestamp(tokens.seconds(token) + by_s) if tokens.is_timestamp(token) else token
