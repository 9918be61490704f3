"""Drive Debian's Chromium without a window, by the DevTools protocol over a pipe.

Source: the Chrome DevTools Protocol; ``--remote-debugging-pipe`` reads messages from descriptor 3
and writes them to descriptor 4, each ended by NUL.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.oracles import require

# Bash gives the pipes the numbers that Chromium expects.
_START = 'exec "$@" 3<&"$PIPE_IN" 4>&"$PIPE_OUT"'


class Browser:
    """A page in a browser.

    Args:
        folder: for the browser's profile.
        width: of the page, in CSS pixels.
        height: likewise.
        dark: whether the system's theme is dark.

    Attributes:
        problems: what the page logged: errors, warnings, violations of its policy.
    """

    def __init__(
        self, folder: Path, *, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        self.problems: list[str] = []
        self._number = 0
        self._session: str | None = None
        self._pending = b""
        read_by_browser, self._write = os.pipe()
        self._read, written_by_browser = os.pipe()
        command = [
            require("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
            "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={folder}",
            "--disable-background-networking", "--no-first-run", "about:blank",
        ]  # fmt: skip
        environment = {
            **os.environ, "PIPE_IN": str(read_by_browser), "PIPE_OUT": str(written_by_browser),
        }  # fmt: skip
        self._process = subprocess.Popen(
            ["bash", "-c", _START, "bash", *command],
            pass_fds=(read_by_browser, written_by_browser), env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_by_browser)
        os.close(written_by_browser)
        self._attach(width, height, dark)

    def _attach(self, width: int, height: int, dark: bool) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[theme])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the browser."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(20)
        except (EOFError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **parameters: Any) -> Mapping[str, Any]:
        """Call a method of the protocol; return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        result: Mapping[str, Any] = answer["result"]
        return result

    def open(self, path: Path) -> None:
        """Open a file, and wait until its script has drawn it."""
        self.call("Page.navigate", url=path.as_uri())
        while not self.evaluate("document.documentElement?.dataset.ready === 'true'"):
            assert not self.problems, self.problems
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key, with what it is called in events."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        down = {"type": "keyDown" if text else "rawKeyDown", "key": key, "text": text}
        self.call("Input.dispatchKeyEvent", **down)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Return the visible part of the page, or all of it, as PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            data = os.read(self._read, 1 << 20)
            if not data:
                raise EOFError("the browser ended")
            self._pending += data
        message, _end, self._pending = self._pending.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: Mapping[str, Any]) -> None:
        if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self.problems.append(json.dumps(event["params"]))
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.problems.append(json.dumps(event["params"]["args"]))
