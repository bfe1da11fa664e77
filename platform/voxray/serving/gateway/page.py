"""The page and its files, and the headers that every answer carries.

The files are read when the app is built and looked up by name, so that no path from a request reaches the
file system, and nothing is listed.
"""

from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
}
"""What the page may consist of; files of other kinds are not served."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; media-src 'self' blob:; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SafeHeaders:
    """ASGI middleware: `HEADERS` on every answer that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and add the headers to what comes back."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def page_routes(folder: Path | None = None) -> Iterator[Route]:
    """`/` and `/assets/...` from `folder` (default: the package's own page)."""
    folder = folder or Path(str(files("voxray"))) / "assets" / "page"
    held = dict(_held(folder))

    async def asset(request: Request) -> Response:
        return _answer(request, held.get(request.path_params.get("name", "index.html")))

    yield Route("/", asset)
    yield Route("/assets/{name:path}", asset)


def _held(folder: Path) -> Iterator[tuple[str, tuple[bytes, str, str]]]:
    """Each file's name below `folder`, with its bytes, type and tag."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in TYPES:
            body = file.read_bytes()
            tag = f'"{sha256(body).hexdigest()[:32]}"'
            yield file.relative_to(folder).as_posix(), (body, TYPES[file.suffix], tag)


def _answer(request: Request, file: tuple[bytes, str, str] | None) -> Response:
    if file is None:
        return PlainTextResponse("expected a file of the page, and there is none of this name.\n", 404)
    body, kind, tag = file
    headers = {"ETag": tag, "Cache-Control": "no-cache"}  # asked for each time, sent when it has changed
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "Content-Type": kind})
