"""A headless Chromium, and what the tests of reports ask of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


class Chromium:
    """A headless browser that is driven over two pipes, with nothing but the standard library."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --remote-debugging-pipe"
    )

    def __init__(self, program: str, profile: Path) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        command = f'exec {program} {self.FLAGS} --user-data-dir="$0" 3<&{their_in} 4>&{their_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, str(profile)],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._rest, self._asked, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._asked += 1
        said = {"id": self._asked, "method": method, "params": params}
        message = {**said, "sessionId": self._session} if self._session else said
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._asked:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 1 << 16)
            assert part, "Chromium ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, file: Path, width: int = 1280) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.events.clear()
        self.ask("Page.navigate", url=file.as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._next())
        self.settled()

    def run(self, code: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settled(self) -> None:
        """Wait until the slice that was asked for last is drawn."""
        self.run(
            "new Promise((done) => { const look = () => {"
            "const { ready, wanted } = document.getElementById('browser').dataset;"
            "if (ready && ready === wanted) done(); else setTimeout(look, 10); }; look(); })"
        )

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)
        self.settled()

    def complaints(self) -> list[dict[str, Any]]:
        """What the console says, and what a script threw."""
        loud = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [one for one in self.events if one.get("method") in loud]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)


def row(chromium: Chromium, title: str) -> list[str]:
    """The numbers of a method as the page shows them."""
    rows = chromium.run(
        "[...document.querySelectorAll('#browser-numbers tr')]"
        ".map((row) => [...row.children].map((cell) => cell.textContent))"
    )
    (found,) = (cells[1:] for cells in rows if cells[0] == title)
    return found


def choose(chromium: Chromium, name: str, value: object) -> None:
    chromium.run(
        f"{{ const one = document.getElementById('{name}'); one.value = {json.dumps(value)};"
        "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind)); }"
    )
    chromium.settled()


def text_of(chromium: Chromium, name: str) -> str:
    return str(chromium.run(f"document.getElementById('{name}').textContent"))
