"""Recorded finals over HTTP, for the page `/corrections`.

    GET    /v1/corrections              the clips to correct, the least confident first
    POST   /v1/corrections              {"enabled": true}: record finals from now on; false: no more
    DELETE /v1/corrections              delete all clips, and record nothing more
    GET    /v1/corrections/{id}/audio   of a clip to correct
    POST   /v1/corrections/{id}         {"text": "..."}: correct a clip, which moves to the corpus
    DELETE /v1/corrections/{id}         delete a clip, corrected or not

The gateway checks keys before these routes; a key finds only its own clips.
"""

import asyncio
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from voxray.serving.api_error import ApiError
from voxray.serving.corrections.bodies import (
    CorrectedClip,
    Correction,
    CorrectionList,
    CorrectionSwitch,
    DeletedClip,
)
from voxray.serving.corrections.store import CorrectionStore
from voxray.serving.gateway.auth import AccessPolicy, bearer_key
from voxray.serving.rest.uploads import receive_body
from voxray.serving.trainings.endpoint import route

SHOWN = 50
Body = TypeVar("Body", bound=BaseModel)


class CorrectionApi:
    """The routes."""

    def __init__(self, store: CorrectionStore, policy: AccessPolicy) -> None:
        self._store, self._policy = store, policy
        one = "/v1/corrections/{id}"
        self.routes = [
            route("/v1/corrections", self._list, "GET"),
            route("/v1/corrections", self._enable, "POST"),
            route("/v1/corrections", self._clear, "DELETE"),
            route(one, self._correct, "POST"),
            route(one, self._delete, "DELETE"),
            route(f"{one}/audio", self._audio, "GET"),
        ]

    async def _list(self, request: Request) -> Response:
        listed = await asyncio.to_thread(self._described, self._owner(request))
        return JSONResponse(listed.model_dump(mode="json"))

    async def _enable(self, request: Request) -> Response:
        switch = await _received(request, CorrectionSwitch, "enabled: expected true or false, got neither.")
        await asyncio.to_thread(self._store.enable, self._owner(request), enabled=switch.enabled)
        return await self._list(request)

    async def _clear(self, request: Request) -> Response:
        await asyncio.to_thread(self._store.clear, self._owner(request))
        return await self._list(request)

    async def _audio(self, request: Request) -> Response:
        audio = await asyncio.to_thread(self._store.audio, self._owner(request), _id(request))
        if audio is None:
            raise _not_found(request)
        return Response(audio, media_type="audio/flac", headers={"Cache-Control": "no-store"})

    async def _correct(self, request: Request) -> Response:
        sent = await _received(request, Correction, "text: expected a text, got none.")
        if not (text := " ".join(sent.text.split())):
            raise ApiError(400, "text: expected a text, got none.", param="text")
        if not await asyncio.to_thread(self._store.correct, self._owner(request), _id(request), text):
            raise _not_found(request)
        return JSONResponse(CorrectedClip(id=_id(request)).model_dump())

    async def _delete(self, request: Request) -> Response:
        if not await asyncio.to_thread(self._store.delete, self._owner(request), _id(request)):
            raise _not_found(request)
        return JSONResponse(DeletedClip(id=_id(request)).model_dump())

    def _described(self, owner: str) -> CorrectionList:
        store = self._store
        pending, corrected = store.counts(owner)
        return CorrectionList(
            enabled=store.is_enabled(owner),
            data=tuple(store.pending(owner, SHOWN)),
            pending=pending,
            corrected=corrected,
            days=store.settings.days,
            stored_bytes=store.stored_bytes(owner),
            max_stored_bytes=store.settings.stored_bytes,
            corpus=str(store.corpus(owner)),
        )

    def _owner(self, request: Request) -> str:
        return self._policy.owner(bearer_key(request.headers))


async def _received(request: Request, model: type[Body], expected: str) -> Body:
    """Return the body of `request`; ApiError with the sentence `expected` where it is no `model`."""
    try:
        return model.model_validate_json(await receive_body(request), strict=True)
    except ValidationError as e:
        raise ApiError(400, expected, param=expected.partition(":")[0]) from e


def _id(request: Request) -> str:
    id: str = request.path_params["id"]
    return id


def _not_found(request: Request) -> ApiError:
    message = f"id: expected one of your clips, got {_id(request)[:80]!r}."
    return ApiError(404, message, param="id", code="not_found")
