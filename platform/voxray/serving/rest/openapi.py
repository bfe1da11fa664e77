"""The REST API as data: OpenAPI 3.1, with the schemas of pydantic models."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from voxray.audio.containers import SUFFIXES
from voxray.serving.api_error import ErrorResponse
from voxray.serving.corrections import openapi as corrections_openapi
from voxray.serving.rest.bodies import (
    ModelList,
    ModelObject,
    PlainTranscription,
    TextDelta,
    TextDone,
    TextSegment,
    VerboseTranscription,
)
from voxray.serving.rest.request import TranscriptionRequest
from voxray.serving.settings import Limits, TrainingSettings
from voxray.serving.trainings import openapi as trainings_openapi

Schema = dict[str, Any]

ERRORS = {
    400: "A field, or the file, is not as expected; `param` names it.",
    401: "The key is missing or unknown.",
    404: "There is no such model.",
    408: "The body stopped coming.",
    413: "The body is too large.",
    415: "The body is not `multipart/form-data`.",
    429: "All slots for files are in use; try again after `Retry-After` seconds.",
    503: "The service accepts no work now; try again after `Retry-After` seconds.",
}
SUMMARIES = {
    "/v1/audio/transcriptions": "Transcribe a recording in its own language",
    "/v1/audio/translations": "Translate a recording to English text",
    "/v1/models": "List the models, the default first",
    "/v1/models/{name}": "Show one of them",
}
MODELS: tuple[tuple[type[BaseModel], JsonSchemaMode], ...] = (
    (TranscriptionRequest, "validation"),
    *((m, "serialization") for m in (PlainTranscription, VerboseTranscription, TextDelta)),
    *((m, "serialization") for m in (TextSegment, TextDone)),
    *((m, "serialization") for m in (ModelObject, ModelList, ErrorResponse)),
)
FILE = {
    "type": "string",
    "format": "binary",
    "description": f"The recording, in a container that FFmpeg calls {', '.join(SUFFIXES)}.",
}


def schema(
    models: Sequence[str],
    limits: Limits,
    trainings: TrainingSettings | None = None,
    *,
    corrections: bool = False,
) -> Schema:
    """Return the whole API, with `trainings` and `corrections` where there are any."""
    transcriptions, translations, model_list, model = SUMMARIES
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Voxray", "version": version("voxray"), "description": _about(models, limits)},
        "security": [{"key": []}, {}],
        "paths": {
            transcriptions: {"post": _post_audio(transcriptions)},
            translations: {"post": _post_audio(translations)},
            model_list: {"get": _get(model_list, ModelList, 401)},
            model: {"get": {**_get(model, ModelObject, 401, 404), "parameters": [name]}},
            **(trainings_openapi.paths() if trainings else {}),
            **(corrections_openapi.paths() if corrections else {}),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _components(models, trainings, corrections),
        },
    }


def _components(models: Sequence[str], trainings: TrainingSettings | None, corrections: bool) -> Schema:
    """Return the schemas of all models; the forms also have their files, and the names of models."""
    described = (*MODELS, *(trainings_openapi.MODELS if trainings else ()))
    described += corrections_openapi.MODELS if corrections else ()
    _, definitions = models_json_schema(described, ref_template="#/components/schemas/{model}")
    schemas: Schema = definitions["$defs"]
    form = schemas["TranscriptionRequest"]
    form["properties"] = {"file": FILE, **form["properties"]}
    form["properties"]["model"]["examples"] = list(models)
    form["required"] = ["file"]
    if trainings:
        properties = schemas["TrainingForm"]["properties"]
        properties |= {"data": trainings_openapi.DATA}
        properties["model"] |= {"enum": list(trainings.models), "default": trainings.models[0]}
        properties["corpus"] |= {"enum": list(trainings.corpora)}
    return schemas


def _about(models: Sequence[str], limits: Limits) -> str:
    return (
        "Speech to text in the shape of OpenAI's audio API: its clients work with this service's address as "
        f"`base_url`. Models: {', '.join(f'`{m}`' for m in models)}, and those trained with the key. "
        f"A body has at most {limits.body_bytes} bytes, and its audio lasts at most {limits.decoded_s:g} s."
    )


def _post_audio(path: str) -> Schema:
    form = {"multipart/form-data": {"schema": _ref(TranscriptionRequest)}}
    text = {"schema": {"type": "string"}}
    content = {
        "application/json": {"schema": {"anyOf": [_ref(PlainTranscription), _ref(VerboseTranscription)]}},
        **dict.fromkeys(("text/plain", "application/x-subrip", "text/vtt"), text),
        "text/event-stream": {
            "schema": {"anyOf": [_ref(m) for m in (TextDelta, TextSegment, TextDone, ErrorResponse)]}
        },
    }
    ok = {"200": {"description": "The text, in the format that was asked for.", "content": content}}
    return {
        "summary": SUMMARIES[path],
        "requestBody": {"required": True, "content": form},
        "responses": {**ok, **_errors(*ERRORS)},
    }


def _get(path: str, body: type[BaseModel], *errors: int) -> Schema:
    content = {"application/json": {"schema": _ref(body)}}
    ok = {"200": {"description": SUMMARIES[path], "content": content}}
    return {"summary": SUMMARIES[path], "responses": {**ok, **_errors(*errors)}}


def _errors(*statuses: int) -> Schema:
    content = {"application/json": {"schema": _ref(ErrorResponse)}}
    return {str(status): {"description": ERRORS[status], "content": content} for status in statuses}


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
