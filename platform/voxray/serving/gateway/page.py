"""The pages and their files, and the headers of every response.

The files are read when the app is built and looked up by name: no path from a request reaches the file
system, and nothing is listed.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
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
"""Media types of the page's files, by suffix; other files are not served."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; media-src 'self' blob:; frame-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

PAGES = {"": "Live", "trainings": "Trainings", "corrections": "Corrections"}
"""The pages by their paths, in the order of the links between them."""
LINKS = b"<!-- pages -->"  # where they go

LIVE, VIEWER = "index.html", "viewer.html"
VIEWER_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}
"""Of the frame that shows a job's report: it has styles of its own, and no access to the page or its key."""


@dataclass(frozen=True, slots=True)
class _Asset:
    """A file of the pages; `name` is its path below the folder."""

    name: str
    body: bytes
    media_type: str
    etag: str


class HeadersMiddleware:
    """ASGI middleware: adds `HEADERS` to each response that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its response."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def page_routes(folder: Path | None = None, names: Collection[str] = ()) -> Iterator[Route]:
    """Yield routes for `/`, for `/NAME` of each further page in `names`, and for `/assets/...`, from `folder`
    (default: the package's own pages). Where there are further pages, all have links to one another.
    """
    folder = folder or Path(str(files("voxray"))) / "assets" / "page"
    shown = [path for path in PAGES if not path or path in names]
    assets = {asset.name: asset for asset in _assets(folder, shown)}

    def route(path: str, name: str | None = None) -> Route:
        async def show(request: Request) -> Response:
            return _response(request, assets.get(name or request.path_params["name"]))

        return Route(path, show)

    yield route("/", LIVE)
    for name in names:
        yield route(f"/{name}", f"{name}.html")
    yield route("/assets/{name:path}")


def _assets(folder: Path, pages: Sequence[str]) -> Iterator[_Asset]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix in TYPES:
            body = file.read_bytes()
            if file.suffix == ".html":
                body = body.replace(LINKS, _links(pages, "" if file.name == LIVE else file.stem).encode())
            etag = f'"{sha256(body).hexdigest()[:32]}"'
            yield _Asset(file.relative_to(folder).as_posix(), body, TYPES[file.suffix], etag)


def _links(pages: Sequence[str], current: str) -> str:
    """Return the links to `pages`; nothing where there is one alone."""
    if len(pages) < 2:
        return ""
    mark = {current: ' aria-current="page"'}
    links = (f'<a href="{path or "./"}"{mark.get(path, "")}>{PAGES[path]}</a>' for path in pages)
    return f'<nav aria-label="Pages">{" ".join(links)}</nav>'


def _response(request: Request, asset: _Asset | None) -> Response:
    if asset is None:
        return PlainTextResponse("expected a file of the page, got a name that none of them has.\n", 404)
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}  # revalidated each time, sent when changed
    headers |= VIEWER_HEADERS if asset.name == VIEWER else {}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(asset.body, headers={**headers, "Content-Type": asset.media_type})
