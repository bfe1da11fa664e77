"""The part of the OpenAPI schema that is there where finals can be recorded."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from voxray.serving.corrections.bodies import (
    CorrectedClip,
    Correction,
    CorrectionList,
    CorrectionSwitch,
    DeletedClip,
)
from voxray.serving.trainings.openapi import json_content, operation

MODELS: tuple[tuple[type[BaseModel], JsonSchemaMode], ...] = (
    *((m, "validation") for m in (CorrectionSwitch, Correction)),
    *((m, "serialization") for m in (CorrectionList, CorrectedClip, DeletedClip)),
)
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def paths() -> dict[str, Any]:
    """Return the operations by path."""
    listed = json_content(CorrectionList)
    audio = {"audio/flac": {"schema": {"type": "string", "format": "binary"}}}
    every, one = "/v1/corrections", "/v1/corrections/{id}"
    switch = operation("Record the finals of this key from now on, or no more", listed, "400", "401")
    corrected = json_content(CorrectedClip)
    correct = operation("Correct a clip, which moves to the corpus", corrected, "400", "401", "404")
    about_one = {
        one: {
            "post": {**correct, "requestBody": _body(Correction)},
            "delete": operation("Delete a clip", json_content(DeletedClip), "401", "404"),
        },
        f"{one}/audio": {"get": operation("Get the audio of a clip to correct", audio, "401", "404")},
    }
    return {
        every: {
            "get": operation("List the clips to correct, the least confident first", listed, "401"),
            "post": {**switch, "requestBody": _body(CorrectionSwitch)},
            "delete": operation("Delete all clips of this key, and record nothing more", listed, "401"),
        },
        **{p: {m: {**o, "parameters": [_ID]} for m, o in found.items()} for p, found in about_one.items()},
    }


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": json_content(model)}
