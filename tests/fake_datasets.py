"""A hub on a socket of this machine: as much of Hugging Face's HTTP API as reading data sets needs."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Repositories = Mapping[str, Mapping[str, Mapping[str, bytes]]]
"""Files by data set, branch and path."""


class _Missing(Exception):
    pass


def tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """What the hub says of the files and folders in `folder`."""
    prefix = f"{folder}/" if folder else ""
    below = {path: data for path, data in files.items() if path.startswith(prefix)}
    parents = {path[: m.start()] for path in below for m in re.finditer("/", path)}
    entries = [{"type": "directory", "path": p, "oid": "0", "size": 0} for p in sorted(parents)]
    entries += [{"type": "file", "path": p, "oid": "0", "size": len(d)} for p, d in sorted(below.items())]
    inside = [e for e in entries if str(e["path"]).startswith(prefix) and e["path"] != folder]
    return [e for e in inside if recursive or "/" not in str(e["path"]).removeprefix(prefix)]


def answer(repositories: Repositories, url: str) -> Any:
    """Return the JSON for a GET of `url`, or the bytes of a file; _Missing where there is none."""
    parts = urlsplit(url)
    match = re.fullmatch(r"(/api)?/datasets/([^/]+/[^/]+)/?([^/]*)/?([^/]*)/?(.*)", parts.path)
    if not match or match[2] not in repositories:
        raise _Missing("RepoNotFound")
    branches, name, what, folder = repositories[match[2]], match[2], match[3], unquote(match[5])
    if what in ("", "revision"):
        return {"id": name, "sha": "0" * 40}
    if what == "refs":
        found = [{"name": b.rpartition("/")[2], "ref": b, "targetCommit": "0" * 40} for b in branches]
        return {"branches": [], "converts": [f for f in found if "convert" in f["ref"]], "tags": []}
    files = branches[unquote(match[4])]
    if what == "tree":
        return tree(files, folder, parse_qs(parts.query).get("recursive", [""])[0].lower() == "true")
    if what == "resolve" and folder in files:
        return files[folder]
    raise _Missing("EntryNotFound")


@contextmanager
def serving(repositories: Repositories) -> Iterator[str]:
    """Serve `repositories` on a port of its own; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                found = answer(repositories, self.path)
            except _Missing as e:
                self.reply(404, b"{}", {"X-Error-Code": str(e)})
                return
            if not isinstance(found, bytes):
                self.reply(200, json.dumps(found).encode())
                return
            if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or ""):
                start, end = int(asked[1]), int(asked[2])
                self.reply(206, found[start : end + 1])
                return
            self.reply(200, found)

        def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output of tests to themselves."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
