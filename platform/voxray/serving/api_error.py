"""Requests that are not answered, said in the shape that OpenAI's clients read."""

from typing import Any

from starlette.responses import JSONResponse

from voxray.errors import AudioError, ModelError, ServiceError, VoxrayError

RETRY_AFTER_S = 1  # clients of OpenAI wait this long before they ask again


class ApiError(Exception):
    """A request that is turned down with `status`.

    `param` names the field that is wrong; `code` is for programs, the message for people.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(status, message, param, code)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    @property
    def body(self) -> dict[str, Any]:
        """`{"error": {message, type, param, code}}`."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": "rate_limit_error" if self.status == 429 else kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """The answer, with `Retry-After` where asking again can help."""
        busy = self.status in (429, 503)
        return JSONResponse(self.body, self.status, {"Retry-After": str(RETRY_AFTER_S)} if busy else None)


def wrong(param: str, expected: str, came: object, *, status: int = 400, code: str | None = None) -> ApiError:
    """The refusal of a form field: what was expected of `param`, and what came."""
    shown = came if len(repr(came)) <= 60 else f"{str(came)[:57]}..."
    return ApiError(
        status,
        f"{param}: expected {expected}, and {shown!r} came.",
        param=param,
        code=code or "invalid_value",
    )


def api_error_of(error: VoxrayError) -> ApiError:
    """What a client is told of an error: its file or its wish is wrong, or the service cannot take it now."""
    if isinstance(error, AudioError):
        return ApiError(400, str(error), param="file", code="invalid_file")
    if isinstance(error, ModelError):  # of a model that was loaded: it was asked for what it does not know
        return ApiError(400, str(error), code="invalid_value")
    if isinstance(error, ServiceError):
        return ApiError(503, str(error), code="service_unavailable")
    return ApiError(500, str(error), code="internal_error")
