"""The form of a new training, and its data."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, get_args

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from voxray.serving.api_error import ApiError, invalid_field
from voxray.serving.rest.uploads import receive_form
from voxray.serving.settings import Limits, TrainingSettings
from voxray.serving.trainings.archives import ArchiveLimits, unpack
from voxray.serving.trainings.states import Kind, TrainingRequest
from voxray.serving.trainings.store import TrainingStore, new_id

KINDS: tuple[str, ...] = get_args(Kind)
_KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){0,4}")


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a training, and the archive of its data if it names no corpus."""

    request: TrainingRequest
    data: BinaryIO | None
    limits: ArchiveLimits

    def store(self, store: TrainingStore) -> None:
        """Make the training. CorpusError, and nothing is left of it, where its archive is not acceptable."""
        with store.creating(self.request) as folder:
            if self.data:
                unpack(self.data, folder.data, self.limits)


@asynccontextmanager
async def received_submission(
    request: Request, limits: Limits, settings: TrainingSettings, corpora: Mapping[str, str], owner: str
) -> AsyncIterator[Submission]:
    """Receive the form in the body of `request`; its archive stays open for the duration of the block.

    `corpora` are those that `owner` may name, and what each stands for.

    Raises ApiError as `receive_form` does, and for a field that is not as expected. The job's own keys are
    not checked yet.
    """
    async with receive_form(request, limits) as form:
        data = _data(form)
        asked = training_request(_fields(form), settings, corpora, owner)
        if (data is None) == (asked.corpus is None):
            got = "both" if data else "neither"
            raise ApiError(400, f"data: expected data or corpus, got {got}.", param="data")
        archive = ArchiveLimits(settings.files, settings.unpacked_bytes)
        yield Submission(asked, data.file if data else None, archive)


def _data(form: FormData) -> UploadFile | None:
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    for name, value in files:
        if name != "data":
            raise invalid_field(name[:80], "no file in this field; send it as data", value.filename)
    return files[0][1] if files else None


def _fields(form: FormData) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            continue
        if name in fields:
            raise ApiError(400, f"{name}: expected one value, got several.", param=name)
        fields[name] = value
    return fields


def training_request(
    fields: Mapping[str, str],
    settings: TrainingSettings,
    corpora: Mapping[str, str],
    owner: str,
    *,
    file: str | None = None,
) -> TrainingRequest:
    """Return the request that `fields` make, of `file` if its data were uploaded before.

    ApiError for a field of the service that is not as expected; keys of the job are checked later.
    """
    for name in fields:
        if not _KEY.fullmatch(name) or name == "data":
            raise ApiError(400, f"expected keys such as max_steps, got {name[:80]!r}.", param=name[:80])
    keys = dict(fields)
    kind, model, corpus = (keys.pop(name, None) for name in ("kind", "model", "corpus"))
    if kind not in KINDS:
        raise invalid_field("kind", ", ".join(KINDS[:-1]) + f" or {KINDS[-1]}", kind)
    if (model := model or settings.models[0]) not in settings.models:
        raise invalid_field("model", f"one of {', '.join(settings.models)}", model, code="model_not_found")
    if corpus is not None and file:
        raise ApiError(400, "corpus: expected a file or a corpus, got both.", param="corpus")
    if corpus is not None and corpus not in corpora:
        known = ", ".join(corpora) or "none: this server allows no corpus, send data"
        raise invalid_field("corpus", f"one of {known}", corpus)
    values = {"id": new_id(), "owner": owner, "created_at": time.time(), "kind": kind, "model": model}
    named = {"corpus": corpus and corpora[corpus], "file": file}
    return TrainingRequest.model_validate({**values, **named, "keys": keys})
