"""Headless Chromium, driven by the DevTools protocol over a pipe: no driver, no port, no further package."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SILENCE = 60  # seconds after which it is given up
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


class Browser:
    """One page of a browser; ``events`` holds what it told, oldest first."""

    def __init__(self, folder):
        """Start it, with an empty profile in a folder."""
        ours, theirs = os.pipe(), os.pipe()
        # The protocol speaks on descriptors 3 and 4, which only a shell can give them for sure.
        command = f'exec "$0" "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, BROWSER, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._out, self._in = os.fdopen(ours[1], "wb", buffering=0), os.fdopen(theirs[0], "rb", buffering=0)
        self._come = b""
        self._numbers, self._session, self.events = itertools.count(1), None, []
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        """Return the browser."""
        return self

    def __exit__(self, *_):
        """End it."""
        with contextlib.suppress(OSError, EOFError):  # a TimeoutError is an OSError
            self._session = None
            self.call("Browser.close")
        self._process.wait(timeout=30)
        self._out.close()
        self._in.close()

    def call(self, method, **params):
        """Send a command and return its result."""
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        self._out.write(json.dumps({"id": number, "method": method, "params": params, **session}).encode() + b"\0")
        while True:
            told = self._read()
            if told.get("id") == number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                return told["result"]
            self.events.append(told)

    def open(self, file, width, height=900, scheme="light"):
        """Load a file or an address in a window of this width, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        address = file if "://" in str(file) else Path(file).resolve().as_uri()
        self.call("Page.navigate", url=address)
        while not self.told("Page.loadEventFired"):
            self.events.append(self._read())

    def told(self, method):
        """Return the parameters of all events of a kind."""
        return [one["params"] for one in self.events if one.get("method") == method]

    def evaluate(self, expression):
        """Return the value of a JavaScript expression; the page's own policy does not bind us."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def screenshot(self, file, whole=True):
        """Write a PNG of the page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        Path(file).write_bytes(base64.b64decode(data))

    def _read(self):
        while b"\0" not in self._come:
            if not select.select([self._in], [], [], SILENCE)[0]:
                raise TimeoutError(f"the browser has said nothing for {SILENCE} s")
            if not (more := os.read(self._in.fileno(), 1 << 16)):
                raise EOFError("the browser ended")
            self._come += more
        message, _, self._come = self._come.partition(b"\0")
        return json.loads(message)
