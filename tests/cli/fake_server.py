"""A small server for tests of the commands that talk to one; what it answers is set by the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
Handler = Callable[[str, str, Any, dict[str, str]], Answer]
"""Method, path, content and headers (in lower case) -> status, content (bytes are sent as they are), headers."""


class FakeServer:
    """Answers by a function, and remembers what was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler, self.asked = handler, list[tuple[str, str, Any, dict[str, str]]]()
        fake = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = (self.command, self.path, json.loads(body) if body else None, headers)
                fake.asked.append(asked)
                status, content, *more = fake.handler(*asked)
                sent = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def answering(handler: Handler) -> Iterator[FakeServer]:
    """Run a server while the test runs."""
    server = FakeServer(handler)
    server.start()
    try:
        yield server
    finally:
        server.stop()
