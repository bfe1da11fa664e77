"""Kept finals over HTTP, for the page `/corrections`.

    GET    /v1/corrections              whether finals are kept, and those to correct, the least certain first
    POST   /v1/corrections              {"enabled": true}: keep this key's finals from now on; false: no more
    DELETE /v1/corrections              delete all that was kept, and keep nothing more
    GET    /v1/corrections/{id}/audio   what was said
    POST   /v1/corrections/{id}         {"text": "..."}: what was said in it; it becomes a clip of the corpus
    DELETE /v1/corrections/{id}

The gateway checks keys before these routes; a key finds only its own finals.
"""

import asyncio
import json

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from voxray.serving.api_error import ApiError
from voxray.serving.corrections.store import CorrectionStore, accepted_text
from voxray.serving.gateway.auth import AccessPolicy, bearer_key
from voxray.serving.trainings.endpoint import route

SHOWN = 50
BODY_BYTES = 64 << 10


class CorrectionApi:
    """The routes."""

    def __init__(self, store: CorrectionStore, policy: AccessPolicy) -> None:
        self._store, self._policy = store, policy
        one = "/v1/corrections/{id}"
        self.routes = [
            route("/v1/corrections", self._list, "GET"),
            route("/v1/corrections", self._enable, "POST"),
            route("/v1/corrections", self._clear, "DELETE"),
            route(one, self._accept, "POST"),
            route(one, self._remove, "DELETE"),
            route(f"{one}/audio", self._audio, "GET"),
        ]

    async def _list(self, request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(self._described, self._owner(request)))

    async def _enable(self, request: Request) -> Response:
        owner, body = self._owner(request), await _body(request)
        try:
            enabled = json.loads(body)["enabled"]
        except (ValueError, KeyError, TypeError):
            enabled = None
        if not isinstance(enabled, bool):
            raise ApiError(400, "enabled: expected true or false, got neither.", param="enabled")
        await asyncio.to_thread(self._store.enable, owner, enabled=enabled)
        return await self._list(request)

    async def _clear(self, request: Request) -> Response:
        await asyncio.to_thread(self._store.clear, self._owner(request))
        return await self._list(request)

    async def _audio(self, request: Request) -> Response:
        audio = self._store.audio(self._owner(request), _id(request))
        if not audio:
            raise _missing(request)
        return FileResponse(audio, media_type="audio/flac")

    async def _accept(self, request: Request) -> Response:
        try:
            text = accepted_text(await _body(request))
        except ValueError as e:
            raise ApiError(400, f"text: {e}", param="text") from e
        found = await asyncio.to_thread(self._store.accept, self._owner(request), _id(request), text)
        return _settled(request, found)

    async def _remove(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._store.remove, self._owner(request), _id(request))
        return _settled(request, found)

    def _described(self, owner: str) -> dict[str, object]:
        store = self._store
        waiting, accepted = store.counts(owner)
        return {
            "object": "list",
            "enabled": store.is_enabled(owner),
            "data": [kept.model_dump() for kept in store.pending(owner, SHOWN)],
            "waiting": waiting,
            "accepted": accepted,
            "days": store.settings.days,
            "corpus": str(store.corpus(owner)),
        }

    def _owner(self, request: Request) -> str:
        return self._policy.owner(bearer_key(request.headers))


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise ApiError(413, f"expected a body of at most {BODY_BYTES} bytes, got more.")
    return body


def _id(request: Request) -> str:
    id: str = request.path_params["id"]
    return id


def _settled(request: Request, found: bool) -> Response:
    if not found:
        raise _missing(request)
    return JSONResponse({"id": _id(request), "object": "correction"})


def _missing(request: Request) -> ApiError:
    message = f"id: expected a final that waits, got {_id(request)[:80]!r}."
    return ApiError(404, message, param="id", code="not_found")
