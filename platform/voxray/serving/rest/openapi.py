"""The REST API as data: OpenAPI 3.1."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from voxray.serving.rest.request import FORMATS, GRANULARITIES, GRANULARITY, MAX_PROMPT, WHISPER_1
from voxray.serving.settings import Limits

Schema = dict[str, Any]

ERRORS = {
    400: "A field, or the file, is not what was expected; `param` names it.",
    401: "No key that is known.",
    404: "No such model.",
    408: "The body stopped coming.",
    413: "The body is too large.",
    415: "The body is not `multipart/form-data`.",
    429: "All places for files are taken; ask again after `Retry-After` seconds.",
    503: "The service cannot take work now; ask again after `Retry-After` seconds.",
}
TITLES = {
    "/v1/audio/transcriptions": "A recording to text, in the language that is spoken",
    "/v1/audio/translations": "A recording to English text",
    "/v1/models": "The names of the model",
    "/v1/models/{name}": "One of them",
}


def schema(models: Sequence[str], limits: Limits) -> Schema:
    """The whole API, OpenAPI 3.1."""
    transcriptions, translations, listed, shown = TITLES
    return {
        "openapi": "3.1.0",
        "info": {"title": "Voxray", "version": version("voxray"), "description": _about(models, limits)},
        "security": [{"key": []}, {}],
        "paths": {
            transcriptions: {"post": _audio(transcriptions)},
            translations: {"post": _audio(translations)},
            listed: {"get": _got(listed, "ModelList", 401)},
            shown: {"get": {**_got(shown, "Model", 401, 404), "parameters": [_name_in_path()]}},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "TranscriptionRequest": _order(models),
                "Text": _object("What is said.", text=_text("All of it, on one line."), usage=_usage()),
                "Verbose": _verbose(),
                "Event": _event(),
                "Model": _model(),
                "ModelList": _object("All names.", object=_const("list"), data=_list(_ref("Model"))),
                "Error": _error(),
            },
        },
    }


def _about(models: Sequence[str], limits: Limits) -> str:
    return (
        "Speech to text, as OpenAI's audio API has it: its clients work with this service's address as "
        f"`base_url`. Models: {', '.join(f'`{m}`' for m in models)}; all of them name the same one. "
        f"A body has at most {limits.body_bytes} bytes, and its audio lasts at most {limits.decoded_s:g} s."
    )


def _audio(path: str) -> Schema:
    form = {"required": True, "content": {"multipart/form-data": {"schema": _ref("TranscriptionRequest")}}}
    contents = {
        "application/json": {"schema": {"anyOf": [_ref("Text"), _ref("Verbose")]}},
        "text/plain": {"schema": {"type": "string"}},
        "application/x-subrip": {"schema": {"type": "string"}},
        "text/vtt": {"schema": {"type": "string"}},
        "text/event-stream": {"schema": _ref("Event")},
    }
    ok = {"200": {"description": "The text, in the format that was ordered.", "content": contents}}
    return {"summary": TITLES[path], "requestBody": form, "responses": {**ok, **_errors(*ERRORS)}}


def _got(path: str, name: str, *errors: int) -> Schema:
    ok = {"200": {"description": TITLES[path], "content": {"application/json": {"schema": _ref(name)}}}}
    return {"summary": TITLES[path], "responses": {**ok, **_errors(*errors)}}


def _errors(*statuses: int) -> Schema:
    content = {"application/json": {"schema": _ref("Error")}}
    return {str(status): {"description": ERRORS[status], "content": content} for status in statuses}


def _order(models: Sequence[str]) -> Schema:
    flag = {"type": "boolean", "default": False}
    return {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "format": "binary",
                "description": "The recording: wav, flac, mp3, ogg, webm, mp4, m4a, aac or aiff.",
            },
            "model": {
                "type": "string",
                "default": WHISPER_1,
                "enum": list(models),
                "description": "One of the names at `/v1/models`.",
            },
            "language": _text("Its language, as `en` or `english`; detected where not given."),
            "prompt": {
                "type": "string",
                "maxLength": MAX_PROMPT,
                "description": "Accepted and ignored: windows are decoded by themselves.",
            },
            "response_format": {
                "type": "string",
                "enum": list(FORMATS),
                "default": "json",
                "description": f"One of {', '.join(f'`{f}`' for f in FORMATS)}.",
            },
            "temperature": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0,
                "description": "Accepted and ignored: decoding is greedy.",
            },
            f"{GRANULARITY}[]": {
                "type": "array",
                "items": {"type": "string", "enum": list(GRANULARITIES)},
                "default": ["segment"],
                "description": "`word`, `segment` or both, in `verbose_json`.",
            },
            "stream": {
                **flag,
                "description": "Server-sent events as the text is heard, with `json` or `text`. Where no "
                "language is given, it is that of the first minute in which somebody speaks.",
            },
            "remove_punctuation": {**flag, "description": "Text without punctuation (not of OpenAI's API)."},
            "simplified_chinese": {
                **flag,
                "description": "Chinese in simplified characters (not of OpenAI's API).",
            },
        },
    }


def _verbose() -> Schema:
    number = {"type": "number"}
    segment = _object(
        "Times are seconds; scores are those of the window that it was heard in.",
        id={"type": "integer"},
        seek={"type": "integer"},
        start=number,
        end=number,
        text=_text("What is said."),
        tokens=_list({"type": "integer"}),
        temperature=number,
        avg_logprob=number,
        compression_ratio=number,
        no_speech_prob={"type": ["number", "null"]},
    )
    word = _object("Times are seconds.", word=_text("The word."), start=number, end=number)
    whole = _object(
        "`segments` and `words` are there where they were asked for.",
        task={"type": "string", "enum": ["transcribe", "translate"]},
        language=_text("Its English name in lower case; that of the text, for translations."),
        duration=number,
        text=_text("All of it, on one line."),
        usage=_usage(),
        segments=_list(segment),
        words=_list(word),
    )
    whole["required"] = [name for name in whole["required"] if name not in ("segments", "words")]
    return whole


def _event() -> Schema:
    delta = _object(
        "What was heard next; all deltas together are the text.",
        type=_const("transcript.text.delta"),
        delta=_text("Text to append."),
    )
    done = _object("The end.", type=_const("transcript.text.done"), text=_text("All of it."))
    return {"anyOf": [delta, done, _ref("Error")]}


def _model() -> Schema:
    return _object(
        "A name of the model.",
        id=_text("The name."),
        object=_const("model"),
        created={"type": "integer", "const": 0},
        owned_by=_const("voxray"),
    )


def _error() -> Schema:
    maybe = {"type": ["string", "null"]}
    return _object(
        "Why there is no answer.",
        error=_object(
            "As OpenAI's API has it.",
            message=_text("What was expected, and what came."),
            type=_text("Its kind."),
            param=maybe,
            code=maybe,
        ),
    )


def _usage() -> Schema:
    return _object("Seconds of audio.", type=_const("duration"), seconds={"type": "number"})


def _name_in_path() -> Schema:
    return {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}


def _object(description: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _const(value: str) -> Schema:
    return {"type": "string", "const": value}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
