"""How clients of other services ask for a socket, and how they are refused: their own form of each.

A key comes as these services' clients send it: OpenAI's as `Authorization: Bearer KEY` or the subprotocol
`openai-insecure-api-key.KEY`, Deepgram's as `Authorization: Token KEY` (or `Bearer`) or the subprotocols
`token, KEY`.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from voxray.serving.api_error import ApiError
from voxray.serving.client_protocols.base import ClientProtocol
from voxray.serving.client_protocols.deepgram import DeepgramProtocol
from voxray.serving.client_protocols.deepgram_options import parse_options
from voxray.serving.client_protocols.realtime import RealtimeProtocol
from voxray.serving.gateway.auth import bearer_key
from voxray.serving.gateway.quotas import QUOTA_EXCEEDED
from voxray.serving.protocol import Refused
from voxray.wire import Close

REALTIME_KEY = "openai-insecure-api-key."
STATUS = {Close.NOT_ALLOWED: 401, Close.BAD_MESSAGE: 400}
"""HTTP's for what refuses a connection; 503 for all others, which may be tried again."""
DEEPGRAM_CODES = {
    401: "INVALID_AUTH",
    400: "Bad Request",
    429: "TOO_MANY_REQUESTS",
    503: "SERVICE_UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A client's request for a socket.

    `protocol` is given the names of the models that the client may choose, its default first, and raises
    WireError or ApiError for what is wrong in the request.
    """

    key: str | None
    subprotocol: str | None
    protocol: Callable[[tuple[str, ...]], ClientProtocol]
    refusal: Callable[[Refused], Response]


def realtime_upgrade(websocket: WebSocket) -> Upgrade:
    """Return what a client of OpenAI's Realtime API asks for."""
    offered, headers, query = _subprotocols(websocket), websocket.headers, websocket.query_params
    key = next((s.removeprefix(REALTIME_KEY) for s in offered if s.startswith(REALTIME_KEY)), None)
    beta = "realtime=v1" in headers.get("openai-beta", "") or "openai-beta.realtime-v1" in offered
    return Upgrade(
        key=bearer_key(headers) or key,
        subprotocol="realtime" if "realtime" in offered else None,
        protocol=lambda models: RealtimeProtocol(models, query.get("model"), beta=beta),
        refusal=_refused_by_openai,
    )


def deepgram_upgrade(websocket: WebSocket) -> Upgrade:
    """Return what a client of Deepgram's live transcription asks for."""
    offered, query = _subprotocols(websocket), websocket.query_params.multi_items()
    scheme = offered[0].lower() if len(offered) > 1 else ""
    from_offer = offered[1] if scheme in ("token", "bearer") else None
    return Upgrade(
        key=bearer_key(websocket.headers) or _token(websocket.headers) or from_offer,
        subprotocol=offered[0] if from_offer else None,
        protocol=lambda models: DeepgramProtocol(parse_options(query, models)),
        refusal=_refused_by_deepgram,
    )


def _subprotocols(websocket: WebSocket) -> list[str]:
    return list(websocket.scope.get("subprotocols", []))


def _token(headers: Headers) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "token" else None


def _status(refused: Refused) -> int:
    return 429 if refused.code == QUOTA_EXCEEDED else STATUS.get(refused.close, 503)


def _refused_by_openai(refused: Refused) -> Response:
    code = "invalid_api_key" if refused.close is Close.NOT_ALLOWED else refused.code
    return ApiError(_status(refused), refused.message, code=code).response()


def _refused_by_deepgram(refused: Refused) -> Response:
    status = _status(refused)
    request_id = str(uuid.uuid4())
    values = {"err_code": DEEPGRAM_CODES[status], "err_msg": refused.message, "request_id": request_id}
    shown = refused.message.encode("ascii", "backslashreplace").decode()
    return JSONResponse(values, status, {"dg-error": shown, "dg-request-id": request_id})
