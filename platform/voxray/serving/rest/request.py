"""What a request for a transcript asks for: the fields of its form, each checked, as one frozen value.

`temperature` and `prompt` are checked and otherwise ignored: windows are decoded greedily and by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from voxray.languages import code_of
from voxray.serving.api_error import ApiError, wrong
from voxray.whisper.engines import Task

Format = Literal["json", "text", "srt", "vtt", "verbose_json"]
FORMATS: tuple[Format, ...] = get_args(Format)
STREAMED: tuple[Format, ...] = ("json", "text")
GRANULARITIES = ("word", "segment")
WHISPER_1 = "whisper-1"  # OpenAI's name for the default model

IGNORED = frozenset({"include", "chunking_strategy", "languages", "keywords"})
"""Fields that OpenAI's clients send and that mean nothing here."""

SINGLE = frozenset(
    {"model", "language", "prompt", "response_format", "temperature", "stream"}
    | {"remove_punctuation", "simplified_chinese"}
)
GRANULARITY = "timestamp_granularities"
FLAGS = {"true": True, "1": True, "false": False, "0": False}
MAX_PROMPT = 2_000  # characters, as on the stream


@dataclass(frozen=True, slots=True)
class TranscriptionRequest:
    """What is to be made of a file. `language` None: it is detected."""

    task: Task = "transcribe"
    language: str | None = None
    form: Format = "json"
    words: bool = False
    segments: bool = True
    stream: bool = False
    remove_punctuation: bool = False
    simplified_chinese: bool = False


def request_of(
    fields: Mapping[str, Sequence[str]], task: Task, models: Sequence[str], languages: Sequence[str]
) -> TranscriptionRequest:
    """The order in a form's text `fields`.

    Raises ApiError that names the field: 404 for a model that is not among `models`, else 400.
    """
    _check_names(fields)
    values = {name: _one(name, fields[name]) for name in SINGLE & set(fields)}
    check_model(values.get("model") or WHISPER_1, models)
    _check_ignored(values)
    form = _form(values.get("response_format"))
    granularities = _granularities(fields, form)
    return TranscriptionRequest(
        task=task,
        language=_language(values.get("language"), languages),
        form=form,
        words="word" in granularities,
        segments="segment" in granularities or not granularities,
        stream=_stream(values, form),
        remove_punctuation=_flag(values, "remove_punctuation"),
        simplified_chinese=_flag(values, "simplified_chinese"),
    )


def check_model(name: str, models: Sequence[str]) -> None:
    """404 where `name` is not among `models`."""
    if name not in models:
        raise wrong("model", f"one of {', '.join(models)}", name, status=404, code="model_not_found")


def _check_names(fields: Mapping[str, Sequence[str]]) -> None:
    known = SINGLE | IGNORED | {GRANULARITY}
    for name in fields:
        if name == "file":
            raise wrong("file", "a file with its name", "text")
        if _base(name) not in known or (_base(name) in SINGLE and name not in SINGLE):
            raise ApiError(
                400,
                f"{name[:60]}: expected a field that is known ({', '.join(sorted(SINGLE | {GRANULARITY}))}), "
                "and this one is not.",
                param=name[:60],
                code="unknown_parameter",
            )


def _base(name: str) -> str:
    """`include[]` and `chunking_strategy[type]` without what is in brackets."""
    return name.partition("[")[0]


def _one(name: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise wrong(name, "one value", list(values))
    return values[0].strip()


def _check_ignored(values: Mapping[str, str]) -> None:
    temperature = values.get("temperature") or "0"
    try:
        fits = 0 <= float(temperature) <= 1
    except ValueError:
        fits = False
    if not fits:
        raise wrong("temperature", "a number from 0 to 1", temperature)
    if len(values.get("prompt", "")) > MAX_PROMPT:
        raise wrong("prompt", f"at most {MAX_PROMPT} characters", values["prompt"])


def _form(text: str | None) -> Format:
    for form in FORMATS:
        if form == (text or "json"):
            return form
    raise wrong("response_format", f"one of {', '.join(FORMATS)}", text)


def _granularities(fields: Mapping[str, Sequence[str]], form: Format) -> set[str]:
    wanted = {v for name, values in fields.items() if _base(name) == GRANULARITY for v in values if v}
    for value in sorted(wanted - set(GRANULARITIES)):
        raise wrong(GRANULARITY, "word or segment", value)
    if "word" in wanted and form != "verbose_json":
        raise wrong("response_format", f"verbose_json with {GRANULARITY}[]=word", form)
    return wanted


def _language(text: str | None, languages: Sequence[str]) -> str | None:
    if not text:
        return None
    code = code_of(text)
    if code not in languages:
        raise wrong("language", f"one that the model knows ({_some(languages)})", text)
    return code


def _some(languages: Sequence[str]) -> str:
    return ", ".join(languages[:5]) + (", ..." if len(languages) > 5 else "")


def _stream(values: Mapping[str, str], form: Format) -> bool:
    stream = _flag(values, "stream")
    if stream and form not in STREAMED:
        raise wrong("response_format", f"{' or '.join(STREAMED)} with stream", form)
    return stream


def _flag(values: Mapping[str, str], name: str) -> bool:
    text = values.get(name) or "false"
    if text.lower() not in FLAGS:
        raise wrong(name, "true or false", text)
    return FLAGS[text.lower()]
