"""Routes whose errors are responses in OpenAI's shape."""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from voxray.errors import ConfigError, CorpusError, VoxrayError
from voxray.serving.api_error import ApiError, api_error_of

CLOSED = 499  # nginx's status for a client that has gone


def route(path: str, respond: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    """Return a route to `respond`, whose ApiError, VoxrayError and OSError become responses."""

    async def endpoint(request: Request) -> Response:
        try:
            return await respond(request)
        except ClientDisconnect:
            return Response(status_code=CLOSED)
        except (ApiError, VoxrayError, OSError) as e:
            return _api_error(e).response()

    return Route(path, endpoint, methods=[method])


def _api_error(error: ApiError | VoxrayError | OSError) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ConfigError | CorpusError):
        param = "data" if isinstance(error, CorpusError) else None
        return ApiError(400, str(error), param=param, code="invalid_value")
    if isinstance(error, VoxrayError):
        return api_error_of(error)
    if isinstance(error, FileNotFoundError):
        return ApiError(
            404, "id: expected one that is there, got one that was deleted.", param="id", code="not_found"
        )
    message = f"expected room on the disk, got an error of it ({error.strerror})."
    return ApiError(507, message, code="no_room")
