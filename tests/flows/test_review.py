"""The page of a review: who may ask, what is answered, and how a person reviews in a browser."""

import asyncio
import csv
import http.client
import json
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile as sf

from birdcore.annotations.annotation import read_annotations_table
from birdcore.config import read_recipe
from birdcore.detection.cuts import detections_above
from birdcore.detection.review_order import Clip, clips_in_order
from birdcore.detection.review_table import Verdict, open_table, read_verdicts
from birdcore.sources.data_folder import read_data
from birdcore.stages.table import make
from birdcore.store.job import no_progress
from birdcore.store.store import Store
from flows.cli import main
from flows.dag import build_dag
from flows.gate import gate
from flows.review import Review, application
from tests.support.browser import Tab
from tests.support.review import served

PORT, LOGIN = 4321, "birdflow:secretsecretsecretsec"
OWN = f"http://127.0.0.1:{PORT}"
BASIC = httpx.BasicAuth(*LOGIN.split(":"))
EVIL = "<img src=x onerror=alert(1)>.wav"
HEAD = "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
Until = Callable[..., None]


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """A table of four detections in two recordings, of which a third is gone."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("day.wav", EVIL):
        noise = np.random.default_rng(0).normal(0, 0.1, 9 * 22_050)
        sf.write(folder / name, noise, 22_050)
    path = tmp_path / "out" / "detections.csv"
    path.parent.mkdir()
    path.write_text(
        f"{HEAD}0,3,Turdus merula,Blackbird,.5,{folder / 'day.wav'}\n"
        f"3,6,Turdus merula,Blackbird,.6,{folder / EVIL}\n"
        f"6,9,Turdus merula,Blackbird,.8,{folder / 'day.wav'}\n"
        f"0,3,<b>x</b>,<script>alert(2)</script>,.9,{folder / 'gone.wav'}\n"
    )
    return path


@pytest.fixture
def review(detections: Path) -> Review:
    clips = clips_in_order(detections_above(detections, 0), "uncertain", 9, 0)
    (detections.parent / "verdicts").mkdir()
    table = open_table(detections.parent / "verdicts" / "ana.csv", "ana")
    return Review(clips, {"Turdus merula": "Blackbird", "wren": "Wren"}, Path("/"), table)


def ask(review: Review, method: str, path: str, auth: Any = BASIC, **options: Any) -> Any:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(gate(application(review, LOGIN), PORT, LOGIN))
        async with httpx.AsyncClient(transport=transport, base_url=OWN, auth=auth) as client:
            return await client.request(method, path, **options)

    return asyncio.run(asked())


def test_without_the_login_there_is_the_empty_page_alone(review: Review) -> None:
    clip = review.clips[0].id
    wrong = httpx.BasicAuth("birdflow", "x" * 22)
    for auth in (None, wrong):
        for method, path in (
            ("GET", "/api/clips"),
            ("GET", f"/api/clips/{clip}"),
            ("POST", f"/api/clips/{clip}/verdict"),
        ):
            answer = ask(review, method, path, auth, content=b'{"answer": "yes"}')
            assert answer.status_code == 401
            assert "www-authenticate" not in answer.headers
    page = ask(review, "GET", "/", None)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Blackbird" not in page.text
    assert not review.table.path.exists()


def test_other_hosts_and_origins_are_refused(review: Review) -> None:
    path = f"/api/clips/{review.clips[0].id}/verdict"
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
    ):
        answer = ask(review, "POST", path, headers=headers, json={"answer": "yes"})
        assert answer.status_code == 403
    assert not review.table.path.exists()


def test_a_clip_is_cut_when_it_is_asked_for(review: Review) -> None:
    made = ask(review, "GET", f"/api/clips/{review.clips[0].id}").json()
    assert made["picture"].startswith("data:image/png;base64,")
    assert made["sound"].startswith("data:audio/flac;base64,")
    assert made["highest_khz"] == pytest.approx(11.025)
    gone = next(clip for clip in review.clips if "gone" in clip.file)
    assert "reason" in ask(review, "GET", f"/api/clips/{gone.id}").json()
    for path in ("/api/clips/0000", "/api/clips/..%2f..%2fetc%2fpasswd", "/etc/passwd"):
        assert ask(review, "GET", path).status_code == 404


def test_a_verdict_is_on_the_disk_when_it_is_answered(review: Review) -> None:
    first, second, *_ = review.clips
    said = {"answer": "other", "other": "wren"}
    shown = ask(review, "POST", f"/api/clips/{first.id}/verdict", json=said).json()
    assert shown["verdict"] == said
    assert read_verdicts(review.table.path) == {first.key: Verdict("other", "wren")}
    for content, code in (
        (b'{"answer": "maybe"}', 400),
        (b'{"answer": "other"}', 400),
        (b'{"answer": "yes", "who": "ben"}', 400),
        (b"{", 400),
        (b" " * 5000, 413),
    ):
        answer = ask(review, "POST", f"/api/clips/{second.id}/verdict", content=content)
        assert (answer.status_code, list(answer.json())) == (code, ["error"])
    assert len(read_verdicts(review.table.path)) == 1


def test_what_others_say_is_shown_after_the_own_verdict(review: Review) -> None:
    first, second, *_ = review.clips
    ben = open_table(review.table.path.with_name("ben.csv"), "ben")
    ben.add(first, Verdict("no"))
    ben.add(second, Verdict("yes"))

    def others() -> list[Any]:
        return [clip["others"] for clip in ask(review, "GET", "/api/clips").json()["clips"]]

    assert not any(others())
    for clip in (first, second):
        ask(review, "POST", f"/api/clips/{clip.id}/verdict", json={"answer": "yes"})
    assert others()[:2] == [{"ben": {"answer": "no", "other": ""}}, {}]


def rows(detections: Path) -> list[tuple[str, str, str]]:
    path = detections.parent / "verdicts" / "ana.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            (Path(row["recording"]).name, row["label"], row["label_type"])
            for row in csv.DictReader(file)
        ]


def test_a_person_reviews_in_a_browser(detections: Path, tab: Tab, until: Until) -> None:
    count = "document.getElementById('count').textContent"
    shown = "document.getElementById('clip').dataset.id"
    name = "document.getElementById('name').textContent"
    place = "document.getElementById('place').textContent"

    def at(done: int, of: int = 4) -> None:
        until(lambda: tab.value(count) == f"{done} of {of}" and tab.value(shown))

    with served(detections, 0) as (process, address):
        port = urlsplit(address).port
        assert port
        tab.open(address)
        at(0)
        assert urlsplit(tab.value("location.href")).path == "/"
        until(lambda: tab.value("document.getElementById('picture').naturalWidth > 100"))
        until(lambda: tab.value("document.getElementById('sound').duration > 3"))
        assert tab.value(place).startswith(str(detections.parent.parent / "recordings/day.wav"))
        tab.press("y")
        at(1)
        assert rows(detections) == [("day.wav", "Turdus merula", "positive")]
        # Texts of others are shown as they are, and a clip that is gone can be passed over.
        assert tab.value(name) == "<script>alert(2)</script>"
        assert "can't be played" in tab.value("document.getElementById('missing').textContent")
        tab.press("u")
        at(2)
        assert EVIL in tab.value(place)
        tab.press("o")
        until(lambda: tab.value("document.activeElement.id") == "class")
        for letter in "myna":
            tab.press(letter)
        tab.press("Enter")
        at(3)
        tab.press("ArrowLeft")
        until(lambda: EVIL in tab.value(place))
        assert tab.value("document.querySelector('[aria-pressed=true]').dataset.answer") == "other"
        assert [event for event in tab.trouble if "alert" in str(event)] == []
        process.send_signal(signal.SIGKILL)
        process.wait()
        said = rows(detections)
        tab.press("n")
        message = "document.getElementById('message').textContent"
        until(lambda: "not saved: birdflow review has ended" in tab.value(message))
    assert rows(detections) == said
    assert said[2:] == [(EVIL, "myna", "positive"), (EVIL, "Turdus merula", "negative")]
    with served(detections, port) as (process, address):
        tab.open(address)
        at(3)
        assert tab.value(place).endswith("day.wav, 0:06.0 to 0:09.0")
        tab.press("n")
        until(lambda: not tab.value("document.getElementById('end').hidden"))
        assert rows(detections) == [*said, ("day.wav", "Turdus merula", "negative")]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    urls = [url for url in tab.requests if not url.startswith("data:")]
    assert all(urlsplit(url).hostname == "127.0.0.1" for url in urls)


def test_it_listens_on_loopback_and_ends_with_its_table_unlocked(detections: Path) -> None:
    with served(detections, 0) as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/enter#[\w-]{22,}", address)
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(address).port, timeout=30)
        connection.request("GET", "/api/clips")
        assert connection.getresponse().status == 401
        connection.close()
        assert main(["review", str(detections), "--annotator", "ana"]) == 1  # it is held
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_refusals_are_of_one_line(detections: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (("--choose", "best"), "--choose is uncertain, rare, balanced, not 'best'"),
        (("--annotator", "../ana"), "--annotator '../ana': up to 40 letters"),
        (("--min-conf", "0.95"), "no detection has a confidence of 0.95 or more"),
    ):
        assert main(["review", str(detections), *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"birdflow: {message}")
    assert not (detections.parent / "verdicts").exists()


def test_a_run_trains_on_verdicts(shared_data: Path, tmp_path: Path) -> None:
    """A whole run, of a net that is as small as may be: a model of the classes that are heard."""
    data = Path(shutil.copytree(shared_data / "field" / "recorder-day", tmp_path / "data"))
    recordings = sorted(path.name for path in data.iterdir())[:8]
    (data / "verdicts").mkdir()
    table = open_table(data / "verdicts" / "ana.csv", "ana")
    for number, name in enumerate(recordings):
        robin = Clip(name, 0.0, 3.0, "robin", "Erithacus rubecula", "Robin", 0.5)
        table.add(robin, Verdict("yes") if number % 2 else Verdict("other", "wren"))
        table.add(replace(robin, start_s=3.0, end_s=6.0), Verdict("no"))
        table.add(replace(robin, start_s=6.0, end_s=9.0), Verdict("unsure"))
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[data.annotations]\nannotator = "annotator"\n'
        '[[round]]\nname = "small"\nbackbones = ["test_resnet"]\nepochs = 1\n'
    )
    recipe = read_recipe(path, ("folds.count=2", "folds.train=[0]", "export.onnx=false"))
    store = Store(tmp_path / "store")
    dag = build_dag(recipe, read_data(data, store, recipe), store, keep_shards=True)
    made = {step.name: make(step, store, no_progress, refresh=False) for step in dag.steps}
    catalog, train = made["catalog"], made["train small test_resnet fold 0"]
    assert (catalog.metrics["annotated"], catalog.metrics["annotations"]) == (8, 28)
    kinds = Counter(
        (one.label, one.kind) for one in read_annotations_table(catalog / "annotations.parquet")
    )
    assert kinds == {
        ("robin", "present"): 4,
        ("robin", "absent"): 12,
        ("robin", "uncertain"): 8,
        ("wren", "present"): 4,
    }
    assert train.metrics["trained_on"] == 4
    classes = json.loads((train / "model.json").read_text())["classes"]
    assert classes == ["robin", "wren"]
