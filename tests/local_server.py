"""A web server on this machine for the tests of everything that downloads: with ranges, faults, and a model hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalServer:
    """Serves ``files`` (path -> bytes), misbehaves as told, and remembers what it was asked.

    Attributes:
        files: path -> content.
        headers: path -> more headers.
        errors: path -> (status, headers); answered instead of the file.
        cuts: the next answers stop after so many bytes, one entry each.
        pause: seconds to wait after each 1,000 bytes.
        stalls: for the next answers: seconds to wait before the body, one entry each.
        ranges: whether Range is understood.
        lengths: whether Content-Length is sent.
        requests: (method, path, Range header or None) of each request.
    """

    def __init__(self, handler: type[Handler] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.errors: dict[str, tuple[int, dict[str, str]]] = {}
        self.cuts: list[int] = []
        self.stalls: list[float] = []
        self.pause = 0.0
        self.ranges = self.lengths = True
        self.requests: list[tuple[str, str, str | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler or Handler)
        self._server.local = self
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def asked(self, path: str, method: str = "GET") -> list[str | None]:
        """The Range headers of the requests for a path."""
        return [wanted for how, what, wanted in self.requests if (how, what) == (method, path)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add_model(self, model_id: str, files: dict[str, bytes], large: Callable[[str], bool]) -> None:
        """Serve a model as the hub does: its description, the list of its files, and the files."""
        tree, described = [], {"id": model_id, "modelId": model_id, "sha": COMMIT, "siblings": []}
        for name, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            entry = {"type": "file", "path": name, "size": len(content), "oid": sha256[:40]}
            if large(name):
                entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
            tree.append(entry)
            described["siblings"].append({"rfilename": name})
            path = f"/{model_id}/resolve/{COMMIT}/{name}"
            self.files[path] = content
            self.headers[path] = {"ETag": f'"{sha256 if large(name) else sha256[:40]}"', "X-Repo-Commit": COMMIT}
        for path, content in (
            (f"/api/models/{model_id}/revision/main", described),
            (f"/api/models/{model_id}/revision/{COMMIT}", described),
            (f"/api/models/{model_id}/tree/{COMMIT}", tree),
        ):
            self.files[path] = json.dumps(content).encode()
            self.headers[path] = {"Content-Type": "application/json"}


class Handler(BaseHTTPRequestHandler):
    @property
    def local(self) -> LocalServer:
        return self.server.local

    def log_message(self, *arguments) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = urllib.parse.urlsplit(self.path).path
        wanted = self.headers.get("Range")
        self.local.requests.append((self.command, path, wanted))
        content = self.local.files.get(path)
        if path in self.local.errors or content is None:
            self.head(*self.local.errors.get(path, (404, {})), length=0)
            return
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and self.local.ranges else None
        if start is not None and start >= len(content):
            self.head(416, {}, length=0)
            return
        headers = dict(self.local.headers.get(path, {}))
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        rest = content[start or 0 :]
        self.head(200 if start is None else 206, headers, len(rest) if self.local.lengths else None)
        if body:
            self.send(rest)

    def head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, content: bytes) -> None:
        if self.local.stalls:
            time.sleep(self.local.stalls.pop(0))
        if self.local.cuts:
            content = content[: self.local.cuts.pop(0)]
        with contextlib.suppress(OSError):  # the other side may have gone, which some tests are about
            for start in range(0, len(content), 1000):
                self.wfile.write(content[start : start + 1000])
                time.sleep(self.local.pause)
        self.close_connection = True
