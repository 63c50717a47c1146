"""The page in a real browser, headless Chromium, by its DevTools protocol."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def open(self, page: Path, *, scheme: str = "light", width: int = 1280) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", features=features)
        screen = {"height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", width=width, **screen)
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv(timeout=60)))

    def value(self, script: str) -> Any:
        said = self.ask("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    @property
    def trouble(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["method"] in TROUBLE]

    @property
    def requests(self) -> list[str]:
        sent = [e for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]


@pytest.fixture(scope="module")
def new_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Any]]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(CHROMIUM)} is installed")
    home = tmp_path_factory.mktemp("browser")
    # As root, and in most containers, its sandbox can't start.
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    said = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([program, *arguments, f"--user-data-dir={home}"], **said) as browser:  # type: ignore[call-overload]
        try:
            port = _port(home, browser)

            @contextmanager
            def tab() -> Iterator[Tab]:
                new = urllib.request.Request(f"http://127.0.0.1:{port}/json/new", method="PUT")
                with urllib.request.urlopen(new) as answer:
                    address = json.load(answer)["webSocketDebuggerUrl"]
                with connect(address, max_size=None) as socket:
                    yield Tab(socket)

            yield tab
        finally:
            browser.terminate()


def _port(home: Path, browser: subprocess.Popen[bytes]) -> int:
    path = home / "DevToolsActivePort"
    end = time.monotonic() + 60
    while not path.is_file() or len(path.read_text().splitlines()) < 2:
        assert browser.poll() is None, "the browser ended"
        assert time.monotonic() < end, "the browser does not answer"
        time.sleep(0.05)
    return int(path.read_text().splitlines()[0])


@pytest.fixture
def tab(new_tab: Callable[[], Any]) -> Iterator[Tab]:
    with new_tab() as opened:
        yield opened


ROWS = "document.querySelectorAll('#species-table tbody tr').length"
FIRST = "document.querySelector('#species-table tbody tr').cells[0].textContent"
SAID = "document.querySelector('#species output').textContent"


def search(words: str) -> str:
    find = "const box = document.querySelector('#species input');"
    return f"{{ {find} box.value = {words!r}; box.dispatchEvent(new Event('input')); }}"


def press(name: str) -> str:
    heads = "[...document.querySelectorAll('#species-table th button')]"
    return f"{heads}.find((b) => b.textContent === {name!r}).click()"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_without_network(made: Any, tab: Tab, scheme: str) -> None:
    tab.open(made.page / "index.html", scheme=scheme)
    red, *_ = json.loads(
        tab.value(
            "JSON.stringify(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
        )
    )
    assert (red > 127) == (scheme == "light")
    assert tab.trouble == []
    here = made.page.folder.as_uri()
    assert tab.requests[0] == f"{here}/index.html"
    assert [url for url in tab.requests if not url.startswith((here, "data:"))] == []


def test_each_sound_beside_the_page_plays(made: Any, tab: Tab) -> None:
    tab.open(made.page / "index.html")
    loaded = """
        Promise.all([...document.querySelectorAll('audio')].map((audio) => new Promise((done) => {
            audio.onloadedmetadata = () => done(audio.duration);
            audio.onerror = () => done(0);
            audio.load();
            audio.preload = 'metadata';
        }))).then((durations) => durations.join())
    """
    said = tab.ask("Runtime.evaluate", expression=loaded, awaitPromise=True, returnByValue=True)
    durations = [float(duration) for duration in said["result"]["value"].split(",")]
    assert len(durations) == len(list((made.page / "sounds").iterdir()))
    assert min(durations) > 1


def test_species_table_is_searched_and_sorted(make_report: Callable[..., Any], tab: Tab) -> None:
    run = make_report(species=300)
    tab.open(run.page / "index.html")
    assert (tab.value(ROWS), tab.value(SAID)) == (100, "100 of 300")
    tab.value(search("  INV0297x"))
    assert (tab.value(ROWS), tab.value(SAID)) == (0, "0 of 300")
    tab.value(search("warbler inv0287"))
    assert (tab.value(ROWS), tab.value(SAID)) == (1, "1 of 300")
    assert "Invented Warbler inv0287" in tab.value(FIRST)
    tab.value(search(""))
    tab.value("document.querySelector('#species .more').click()")
    assert tab.value(ROWS) == 300
    tab.value(press("recordings"))
    assert "inv" not in tab.value(FIRST)  # of the invented there is none
    tab.value(press("species"))
    assert "inv0000" in tab.value(FIRST)
    tab.value(press("species"))
    assert "swefin" in tab.value(FIRST)
    tab.value(press("AUC"))
    shown = tab.value(
        "[...document.querySelectorAll('#species-table tbody tr')]"
        ".map((row) => row.querySelector('td[data-value] .track') !== null)"
    )
    assert shown == sorted(shown, reverse=True)  # what has no score comes last
    assert len(set(shown)) == 2
    assert tab.trouble == []


@pytest.mark.parametrize("width", [400, 1280])
def test_wide_tables_scroll_in_their_box_and_not_the_page(
    make_report: Callable[..., Any], tab: Tab, width: int
) -> None:
    tab.open(make_report(species=300).page / "index.html", width=width)
    assert tab.value("document.documentElement.scrollWidth") <= width
    if width == 400:
        box = "document.querySelector('#species .box')"
        assert tab.value(f"{box}.scrollWidth > {box}.clientWidth")
