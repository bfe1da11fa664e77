import json
import re

from voxray.serving.rest.openapi import schema
from voxray.serving.settings import Limits


def test_every_reference_leads_to_a_schema() -> None:
    api = schema(["tiny.en", "whisper-1"], Limits())
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(api)))

    assert {"TranscriptionRequest", "VerboseTranscription", "ErrorResponse"} <= names
    assert names <= set(api["components"]["schemas"])


def test_the_form_has_the_file_and_the_names_that_are_served() -> None:
    form = schema(["tiny.en", "whisper-1"], Limits())["components"]["schemas"]["TranscriptionRequest"]

    assert form["required"] == ["file"]
    assert form["properties"]["model"]["examples"] == ["tiny.en", "whisper-1"]
    assert "timestamp_granularities[]" in form["properties"]
    assert form["additionalProperties"] is False
    assert all(field["description"] for field in form["properties"].values())


def test_what_may_be_left_out_of_a_response_is_not_required() -> None:
    verbose = schema(["tiny.en"], Limits())["components"]["schemas"]["VerboseTranscription"]

    assert {"text", "usage"} <= set(verbose["required"])
    assert not {"words", "segments"} & set(verbose["required"])
