"""The part of the OpenAPI schema that is there where trainings are configured."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from voxray.serving.api_error import ErrorResponse
from voxray.serving.trainings.bodies import (
    DeletedTraining,
    TrainingForm,
    TrainingList,
    TrainingObject,
    WorstClips,
)
from voxray.serving.trainings.store import FORMATS

MODELS: tuple[tuple[type[BaseModel], JsonSchemaMode], ...] = (
    (TrainingForm, "validation"),
    *((m, "serialization") for m in (TrainingObject, TrainingList, DeletedTraining, WorstClips)),
)
DATA = {
    "type": "string",
    "format": "binary",
    "description": "An audio folder as tar.gz or zip: audio with `NAME.txt` beside it, or a `metadata.csv`.",
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_ERRORS = {
    "400": "A field or the archive is not as expected.",
    "401": "The key is missing or unknown.",
    "404": "This key has nothing with this id.",
    "409": "There is no model in this format, or no report, yet.",
    "413": "The body is too large.",
    "429": "This key has as many trainings or bytes as it may, or all slots are in use.",
    "507": "The server has no room for it.",
}


def paths() -> dict[str, Any]:
    """Return the operations by path."""
    one = "/v1/trainings/{id}"
    form = {"required": True, "content": {"multipart/form-data": {"schema": reference(TrainingForm)}}}
    format_ = {"name": "format", "in": "query", "schema": {"enum": list(FORMATS), "default": FORMATS[0]}}
    listed = operation("List the trainings of this key", json_content(TrainingList), "401")
    made = operation("Train a model on an audio folder", json_content(TrainingObject), *_ERRORS, status="201")
    binary = {"type": "string", "format": "binary"}
    model = operation(
        "Download the model of a training", {"application/gzip": {"schema": binary}}, "401", "404", "409"
    )
    about_one: dict[str, Any] = {
        one: {
            "get": operation("Show a training", json_content(TrainingObject), "401", "404"),
            "delete": operation(
                "Delete a training with its data and its model", json_content(DeletedTraining), "401", "404"
            ),
        },
        f"{one}/cancel": {"post": operation("End a training", json_content(TrainingObject), "401", "404")},
        f"{one}/events": {
            "get": operation(
                "Watch a training until it ends",
                {"text/event-stream": {"schema": reference(TrainingObject)}},
                *("401", "404"),
            )
        },
        f"{one}/model": {"get": {**model, "parameters": [format_]}},
        f"{one}/report": {
            "get": operation(
                "Show what the job wrote about the training",
                {"text/html": {"schema": {"type": "string"}}},
                *("401", "404", "409"),
            )
        },
        f"{one}/clips": {
            "get": operation(
                "List the clips of the report with their audio", json_content(WorstClips), "401", "404", "409"
            )
        },
    }
    for operations in about_one.values():
        for described in operations.values():
            described["parameters"] = [_ID, *described.get("parameters", [])]
    return {
        "/v1/trainings": {"post": {**made, "requestBody": form}, "get": listed},
        **about_one,
        **_fine_tuning(),
    }


def _fine_tuning() -> dict[str, Any]:
    """Return the operations in OpenAI's shape, whose bodies its own documentation describes."""
    files, jobs = "/v1/files", "/v1/fine_tuning/jobs"
    summaries = {
        files: {
            "post": "Upload an archive with the purpose `fine-tune`",
            "get": "List the files of this key",
        },
        f"{files}/{{id}}": {"get": "Show a file", "delete": "Delete a file"},
        jobs: {"post": "Train a model on a file", "get": "List the trainings of this key as jobs"},
        f"{jobs}/{{id}}": {"get": "Show a training as a job"},
        f"{jobs}/{{id}}/cancel": {"post": "End a training"},
        f"{jobs}/{{id}}/events": {"get": "List what has happened to a training"},
    }
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        path: {
            method: {**operation(summary, content, "400", "401", "404"), "parameters": _parameters(path)}
            for method, summary in operations.items()
        }
        for path, operations in summaries.items()
    }


def _parameters(path: str) -> list[dict[str, Any]]:
    return [_ID] if "{id}" in path else []


def operation(summary: str, content: dict[str, Any], *errors: str, status: str = "200") -> dict[str, Any]:
    """Return an operation that answers with `content`, or with one of `errors`."""
    failed = {e: {"description": _ERRORS[e], "content": json_content(ErrorResponse)} for e in errors}
    return {
        "summary": summary,
        "responses": {status: {"description": summary, "content": content}, **failed},
    }


def json_content(model: type[BaseModel]) -> dict[str, Any]:
    """Return a body of `model` in JSON."""
    return {"application/json": {"schema": reference(model)}}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to the schema of `model`."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}
