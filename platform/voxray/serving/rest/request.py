"""The form of a transcription request.

`temperature` is validated and otherwise ignored: decoding is greedy. Fields of other services that would only
tune the decoding are ignored (`IGNORED`); fields that ask for another result are refused, with the form to
send instead (`SEND_INSTEAD`).
"""

from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from voxray.errors import ConfigError
from voxray.languages import language_of
from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.settings import WHISPER_1
from voxray.transcript import Task

Format = Literal["json", "text", "srt", "vtt", "verbose_json"]
STREAMED: tuple[Format, ...] = ("json", "text", "verbose_json")
WITH_WORDS: tuple[Format, ...] = ("json", "verbose_json")

IGNORED = frozenset(
    """
    include chunking_strategy user metadata seed extra_body stream_options service_tier store
    stream_include_usage stream_continuous_usage_stats request_id priority
    vad vad_model vad_filter vad_parameters vad_threshold vad_min_silence_duration_ms vad_speech_pad_ms
    vad_min_speech_duration_ms vad_max_speech_duration_s vad_samples_overlap
    without_timestamps beam_size best_of patience length_penalty repetition_penalty
    no_repeat_ngram_size batch_size condition_on_previous_text prompt_reset_on_temperature
    no_speech_threshold log_prob_threshold compression_ratio_threshold suppress_blank
    suppress_tokens max_new_tokens hallucination_silence_threshold max_initial_timestamp chunk_length
    language_detection_threshold language_detection_segments prepend_punctuations append_punctuations
    log_progress
    temperature_inc logprob_thold entropy_thold no_context suppress_nst suppress_non_speech
    word_thold no_speech_thold max_context audio_ctx split_on_word no_timestamps detect_language
    no_language_probabilities threads processors print_special print_colors print_realtime print_progress
    top_p top_k min_p frequency_penalty presence_penalty max_completion_tokens
    """.split()
)
"""Fields of OpenAI's clients, and of services over faster-whisper, whisper.cpp and vLLM, that change no more
than how the text is found. Speech is always detected here, as with their `vad_filter`."""

SPEAKERS = "multichannel=true, where each speaker has a channel"
SEND_INSTEAD = {
    **dict.fromkeys(["url", "file_url", "audio_url", "audio", "audio_file"], "the recording itself, as file"),
    **dict.fromkeys(["task", "translate"], "the path alone, transcriptions or translations"),
    **dict.fromkeys(["word_timestamps", "timestamps"], "timestamp_granularities[]=word"),
    **dict.fromkeys(["output", "output_format", "format"], "response_format"),
    **dict.fromkeys(["diarize", "diarization", "num_speakers"], SPEAKERS),
    **dict.fromkeys(["known_speaker_names", "known_speaker_references"], SPEAKERS),
    **dict.fromkeys(["offset_t", "duration", "clip_timestamps"], "that part of the recording alone, as file"),
    **dict.fromkeys(["to_language", "target_language"], "the path translations, whose texts are English"),
    "initial_prompt": "prompt",
    "return_timestamps": "response_format=verbose_json",
}
"""Fields of other services that ask for another result, and the form that asks for it here."""

OFF = frozenset({"false", "0", "no", "off", "none", "null"})
"""Values of these that ask for nothing."""

GRANULARITIES = "timestamp_granularities"
LISTS = {GRANULARITIES: GRANULARITIES, "hotwords": "hotwords", "keywords": "hotwords"}
"""Fields that may come several times, and what they are called here."""
MAX_PROMPT = 2_000  # characters of the prompt that count, and of hotwords, as on the stream
MAX_NAME = 60  # characters of a field's name, in messages


def _end_of_prompt(value: object) -> object:
    """Return the end of a longer prompt: a model sees no more of it."""
    return value[-MAX_PROMPT:] if isinstance(value, str) else value


def _one_text(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


class TranscriptionRequest(BaseModel):
    """What to make of a recording."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, loc_by_alias=False)
    task: ClassVar[Task] = "transcribe"

    model: str = Field(default=WHISPER_1, description="One of the names at `/v1/models`.")
    language: str | None = Field(
        default=None, description="Its language, as `en` or `english`; detected where not given, or `auto`."
    )
    prompt: Annotated[str, BeforeValidator(_end_of_prompt)] = Field(
        default="",
        description="Text that comes before, in its style and spelling; each window is decoded after it. Of "
        f"a longer one, the last {MAX_PROMPT} characters count.",
    )
    hotwords: Annotated[str, BeforeValidator(_one_text)] = Field(
        default="",
        max_length=MAX_PROMPT,
        description="Words that are likely (not part of OpenAI's API; also as its `keywords[]`).",
    )
    response_format: Format = Field(
        default="json", description="`json`, `text`, `srt`, `vtt` or `verbose_json`."
    )
    temperature: float = Field(default=0, ge=0, le=1, description="Accepted and ignored: decoding is greedy.")
    timestamp_granularities: tuple[Literal["word", "segment"], ...] = Field(
        default=("segment",),
        validation_alias="timestamp_granularities[]",
        description="`word`, `segment` or both, in `verbose_json`; `word` also in `json`.",
    )
    stream: bool = Field(
        default=False,
        description="Server-sent events while the text is decoded, with `json`, `text` or `verbose_json`, "
        "which has events for segments too. Where no language is given, it is that of the first minute "
        "with speech.",
    )
    track: int | None = Field(
        default=None, ge=1, description="The audio track, from 1 (not part of OpenAI's API)."
    )
    multichannel: bool = Field(
        default=False,
        description="Each channel by itself, as calls have a speaker on each (not part of OpenAI's API).",
    )
    remove_punctuation: bool = Field(
        default=False, description="Text without punctuation (not part of OpenAI's API)."
    )
    simplified_chinese: bool = Field(
        default=False, description="Chinese in simplified characters (not part of OpenAI's API)."
    )

    @property
    def words(self) -> bool:
        """Whether word times are wanted."""
        return "word" in self.timestamp_granularities

    @property
    def segments(self) -> bool:
        """Whether segment times are wanted."""
        return "segment" in self.timestamp_granularities

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        if self.words and self.response_format not in WITH_WORDS:
            expected = f"{' or '.join(WITH_WORDS)} with {GRANULARITIES}[]=word"
            raise invalid_field("response_format", expected, self.response_format)
        if self.stream and self.multichannel:
            raise invalid_field("stream", "false with multichannel", True)
        if self.stream and self.response_format not in STREAMED:
            raise invalid_field("response_format", f"{', '.join(STREAMED)} with stream", self.response_format)
        return self


class TranslationRequest(TranscriptionRequest):
    """What to make of a recording, in English."""

    task = "translate"


def parse_request(
    fields: Mapping[str, Sequence[str]],
    kind: type[TranscriptionRequest],
) -> TranscriptionRequest:
    """Return the request in the text `fields` of a form, its language as a code.

    Raises ApiError 400 that names the field. Call `check_language` when the model is known.
    """
    try:
        request = kind.model_validate(_values(fields, OFF | {kind.task}))
    except ValidationError as e:
        raise _api_error(e.errors()[0]) from e
    if request.language is None:
        return request
    try:
        code = language_of(request.language)
    except ConfigError as e:
        raise invalid_field("language", str(e).removeprefix("expected "), request.language) from e
    return request.model_copy(update={"language": code})


def check_language(request: TranscriptionRequest, languages: Sequence[str]) -> None:
    """Raise ApiError 400 where the model, which knows `languages`, does not know that of the request."""
    if request.language not in (None, *languages):
        known = ", ".join(languages[:5]) + (", ..." if len(languages) > 5 else "")
        raise invalid_field("language", f"one that the model knows ({known})", request.language)


def _values(fields: Mapping[str, Sequence[str]], off: Set[str]) -> dict[str, Any]:
    """Return the fields that have a meaning and a value: the value, or the list of several.

    Those in `SEND_INSTEAD` have none with a value in `off`.
    """
    values: dict[str, Any] = {}
    languages = list[str]()
    for name, texts in fields.items():
        base = name.partition("[")[0]  # of `include[]` and `chunking_strategy[type]`
        if base == "languages":
            languages += texts
        elif base in LISTS:
            several = ",".join(texts).split(",")  # each by itself, or all of them in one text
            values[LISTS[base]] = [*values.get(LISTS[base], ()), *filter(None, map(str.strip, several))]
        elif base not in IGNORED and not (base in SEND_INSTEAD and texts[0].strip().lower() in off):
            values[name] = texts[0].strip() if len(texts) == 1 else list(texts)
    if len(languages) == 1:  # OpenAI's clients name several where any of them may be spoken
        values.setdefault("language", languages[0].strip())
    return {name: value for name, value in values.items() if value}


def _api_error(error: ErrorDetails) -> ApiError:
    """Return one of pydantic's errors, whose messages are "Input should be ...", as an error of the API."""
    param = str(error["loc"][0])[:MAX_NAME]
    instead = SEND_INSTEAD.get(param.partition("[")[0])
    if error["type"] == "extra_forbidden" and instead:
        return ApiError(
            400, f"{param}: expected {instead}, got an unknown field.", param=param, code="unknown_parameter"
        )
    if error["type"] == "extra_forbidden":
        known = ", ".join(sorted(TranscriptionRequest.model_fields))
        return ApiError(
            400,
            f"{param}: expected one of {known}, got an unknown field.",
            param=param,
            code="unknown_parameter",
        )
    expected = error["msg"].partition(" should ")[2].partition(", unable")[0]
    return invalid_field(param, expected.removeprefix("be ").removeprefix("have "), error["input"])
