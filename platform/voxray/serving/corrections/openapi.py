"""The part of the OpenAPI schema that is there where finals are kept."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from voxray.serving.corrections.bodies import CorrectedText, CorrectionList, CorrectionSwitch, SettledFinal
from voxray.serving.trainings.openapi import json_content, operation

MODELS: tuple[tuple[type[BaseModel], JsonSchemaMode], ...] = (
    *((m, "validation") for m in (CorrectionSwitch, CorrectedText)),
    *((m, "serialization") for m in (CorrectionList, SettledFinal)),
)
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def paths() -> dict[str, Any]:
    """Return the operations by path."""
    listed, settled = json_content(CorrectionList), json_content(SettledFinal)
    sound = {"audio/flac": {"schema": {"type": "string", "format": "binary"}}}
    every, one = "/v1/corrections", "/v1/corrections/{id}"
    switch = operation("Keep the finals of this key from now on, or no more", listed, "400", "401")
    accept = operation("Say what was said in a kept final", settled, "400", "401", "404")
    about_one = {
        one: {
            "post": {**accept, "requestBody": _body(CorrectedText)},
            "delete": operation("Delete a kept final", settled, "401", "404"),
        },
        f"{one}/audio": {"get": operation("Hear a kept final", sound, "401", "404")},
    }
    return {
        every: {
            "get": operation("List the kept finals, the least certain first", listed, "401"),
            "post": {**switch, "requestBody": _body(CorrectionSwitch)},
            "delete": operation("Delete all that was kept, and keep nothing more", listed, "401"),
        },
        **{p: {m: {**o, "parameters": [_ID]} for m, o in found.items()} for p, found in about_one.items()},
    }


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": json_content(model)}
