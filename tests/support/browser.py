"""A real browser for tests of pages: headless Chromium, by its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
TROUBLE = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}


@dataclass
class Tab:
    """A tab of the browser, and what it reported on the way."""

    socket: ClientConnection
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.asked += 1
        call = {"id": self.asked, "method": method, "params": parameters}
        self.socket.send(json.dumps(call))
        while (answer := json.loads(self.socket.recv(timeout=60))).get("id") != self.asked:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, page: Path | str, *, scheme: str = "light", width: int = 1280) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=features)
        screen = {"height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", width=width, **screen)
        self.events.clear()
        self.ask("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv(timeout=60)))

    def value(self, script: str) -> Any:
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def durations(self) -> list[float]:
        """Seconds of each sound of the page; 0 of one that does not play."""
        script = """
            Promise.all([...document.querySelectorAll('audio')].map((audio) =>
                new Promise((done) => {
                    audio.onloadedmetadata = () => done(audio.duration);
                    audio.onerror = () => done(0);
                    audio.load();
                    audio.preload = 'metadata';
                })))
        """
        said = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        return list(said["result"]["value"])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as a PNG."""
        said = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(said["data"]))

    def press(self, key: str) -> None:
        """A key goes down and up: Tab, Enter, an arrow or a letter."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
        about = {
            "key": key,
            "code": key,
            "windowsVirtualKeyCode": codes.get(key) or ord(key.upper()),
        }
        typed = "\r" if key == "Enter" else "" if key in codes else key
        text = {"text": typed} if typed else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **about)

    @property
    def trouble(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] in TROUBLE]

    @property
    def requests(self) -> list[str]:
        sent = [e for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


NewTab: TypeAlias = Callable[[], AbstractContextManager[Tab]]


@contextmanager
def browser(home: Path) -> Iterator[NewTab]:
    """A browser whose profile is in `home`, and how a tab of it is opened; skips where none is."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(CHROMIUM)} is installed")
    # As root, and in most containers, its sandbox can't start.
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    said = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([program, *arguments, f"--user-data-dir={home}"], **said) as process:  # type: ignore[call-overload]
        try:
            port = _port(home, process)

            @contextmanager
            def tab() -> Iterator[Tab]:
                new = urllib.request.Request(f"http://127.0.0.1:{port}/json/new", method="PUT")
                with urllib.request.urlopen(new) as answer:
                    address = json.load(answer)["webSocketDebuggerUrl"]
                with connect(address, max_size=None) as socket:
                    yield Tab(socket)

            yield tab
        finally:
            process.terminate()


def _port(home: Path, process: subprocess.Popen[bytes]) -> int:
    path = home / "DevToolsActivePort"
    end = time.monotonic() + 60
    while not path.is_file() or len(path.read_text().splitlines()) < 2:
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < end, "the browser does not answer"
        time.sleep(0.05)
    return int(path.read_text().splitlines()[0])
