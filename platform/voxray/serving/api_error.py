"""Errors of the REST API, in the shape that OpenAI's clients read."""

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from voxray.errors import AudioError, ModelError, ServiceError, VoxrayError

RETRY_AFTER_S = 1  # how long OpenAI's clients then wait


class ErrorDetail(BaseModel):
    """OpenAI's error object."""

    message: str = Field(description="What was expected, and what came instead.")
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """The body of a response without a result."""

    error: ErrorDetail


class ApiError(Exception):
    """A request is rejected with `status`. `param` names the wrong field; `code` is for programs."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(status, message, param, code)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    @property
    def body(self) -> ErrorResponse:
        """The body of the response."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        detail = ErrorDetail(message=self.message, type=kind, param=self.param, code=self.code)
        return ErrorResponse(error=detail)

    def response(self) -> JSONResponse:
        """Return the response, with `Retry-After` where a retry may succeed."""
        headers = {"Retry-After": str(RETRY_AFTER_S)} if self.status in (429, 503) else None
        return JSONResponse(self.body.model_dump(), self.status, headers)


def invalid_field(
    param: str, expected: str, value: object, *, status: int = 400, code: str = "invalid_value"
) -> ApiError:
    """Return the error for a field `param` whose value is not as expected."""
    shown = value if len(repr(value)) <= 60 else f"{str(value)[:57]}..."
    return ApiError(status, f"{param}: expected {expected}, got {shown!r}.", param=param, code=code)


def api_error_of(error: VoxrayError) -> ApiError:
    """Return `error` as a client sees it: its file or field is wrong, or the service is not able to serve."""
    if isinstance(error, AudioError):
        return ApiError(400, str(error), param="file", code="invalid_file")
    if isinstance(error, ModelError):  # of a model that was loaded: it was asked for what it does not know
        return ApiError(400, str(error), code="invalid_value")
    if isinstance(error, ServiceError):
        return ApiError(503, str(error), code="service_unavailable")
    return ApiError(500, str(error), code="internal_error")
