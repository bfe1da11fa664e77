"""A hub on a socket of this machine: as much of Hugging Face's HTTP API as an upload needs."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE_BYTES = 100_000  # from here on files go through LFS


class FakeHub:
    """What was uploaded: `files` by repository and path, `blobs` by SHA-256, in the order of `sent`.

    `refuse` (status, path) answers every request to a path that begins so with the status; while `hold` is
    set, a blob of that SHA-256 is read and not answered, and `held` says that it was.
    """

    def __init__(self, token: str = "hf_good") -> None:
        self.token = token
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.commits: list[str] = []
        self.refuse: tuple[int, str] | None = None
        self.hold: str | None = None
        self.held, self.release = threading.Event(), threading.Event()
        self.changed = threading.Condition()
        self.url = ""

    def wait_for(self, met: Callable[[], bool], limit_s: float = 60.0) -> bool:
        """Wait until `met`, at most `limit_s`; return whether it is."""
        with self.changed:
            return self.changed.wait_for(met, limit_s)

    def create(self, body: Any) -> Any:
        name = f"{body['organization']}/{body['name']}"
        self.files.setdefault(name, {})
        self.private[name] = body.get("visibility") == "private"
        return {"url": f"{self.url}/{name}"}

    def preupload(self, body: Any) -> Any:
        return {
            "files": [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["size"] >= LARGE_BYTES else "regular",
                    "shouldIgnore": False,
                }
                for f in body["files"]
            ]
        }

    def batch(self, body: Any) -> Any:
        missing = [o for o in body["objects"] if o["oid"] not in self.blobs]
        uploads = [
            {**o, "actions": {"upload": {"href": f"{self.url}/blob/{o['oid']}"}}}
            if o in missing
            else {"oid": o["oid"], "size": o["size"]}
            for o in body["objects"]
        ]
        return {"transfer": "basic", "objects": uploads}

    def commit(self, name: str, lines: list[Any]) -> Any:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            elif line["key"] == "file":
                self.files[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[name][value["path"]] = self.blobs[value["oid"]]
        return {"commitUrl": f"{self.url}/{name}/commit/1", "commitOid": "1" * 40, "pullRequestUrl": None}

    def put(self, oid: str, content: bytes) -> None:
        assert hashlib.sha256(content).hexdigest() == oid
        self.sent.append(oid)
        if oid == self.hold:
            self.held.set()
            self.release.wait(60)
            return
        with self.changed:
            self.blobs[oid] = content
            self.changed.notify_all()

    def answer(self, path: str, content: bytes) -> Any:
        """Return what a POST is answered."""
        if path == "/api/repos/create":
            return self.create(json.loads(content))
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if "/preupload/" in path:
            return self.preupload(json.loads(content))
        if path.endswith("/lfs/objects/batch"):
            return self.batch(json.loads(content))
        if "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            return self.commit(name, [json.loads(line) for line in content.splitlines()])
        return None


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` on a port of its own; `hub.url` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self, status: int, value: Any = None) -> None:
            body = json.dumps({} if value is None else value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def content(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                return b"".join(iter(self.chunk, b""))
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def chunk(self) -> bytes:
            data = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return data

        def refused(self) -> bool:
            if hub.refuse and self.path.startswith(hub.refuse[1]):
                self.reply(hub.refuse[0], {"error": "refused"})
                return True
            if self.headers.get("Authorization") != f"Bearer {hub.token}" and not self.path.startswith(
                "/blob/"
            ):
                self.reply(401, {"error": "Invalid username or password."})
                return True
            return False

        def do_POST(self) -> None:
            content = self.content()
            if not self.refused():
                value = hub.answer(self.path.partition("?")[0], content)
                self.reply(200 if value is not None else 404, value)

        def do_PUT(self) -> None:
            content = self.content()
            if not self.refused():
                hub.put(self.path.rpartition("/")[2], content)
                self.reply(200)

        def do_GET(self) -> None:
            self.reply(404)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the output of tests to themselves."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
