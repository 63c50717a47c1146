from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.support.archive import KINDS, Fault, Faults, serve

Record = dict[str, Any]


@pytest.fixture
def download(folder: Path, records: list[Record]) -> Any:
    """The first record's file, through the given faults."""

    def get(*script: Fault | None) -> requests.Response:
        with serve(folder, faults=Faults(script)) as archive:
            return requests.get(f"{archive.url}/{records[0]['id']}/download", timeout=10)

    return get


def test_too_many_requests_with_and_without_a_time(download: Any) -> None:
    assert "Retry-After" not in download(Fault("429")).headers
    answer = download(Fault("429-retry-after", retry_after="7"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(("kind", "status"), [("503", 503), ("html", 200)])
def test_html_in_place_of_a_recording(download: Any, kind: Any, status: int) -> None:
    answer = download(Fault(kind))
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html"
    assert b"<html>" in answer.content


@pytest.mark.parametrize(
    ("kind", "missing"), [("cut", "5120 more expected"), ("length-long", "1000 more expected")]
)
def test_a_body_that_ends_early(download: Any, kind: Any, missing: str) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match=missing):
        download(Fault(kind))


def test_a_length_that_is_too_short_hides_the_rest(download: Any, song: bytes) -> None:
    answer = download(Fault("length-short"))
    assert answer.headers["Content-Length"] == "5120"
    assert answer.content == song[:5120]


def test_a_drip_comes_to_its_end(download: Any, song: bytes) -> None:
    assert download(Fault("drip", drip_s=0.1)).content == song


def test_a_reset_is_no_proper_end(download: Any) -> None:
    with pytest.raises(requests.exceptions.RequestException, match="reset by peer"):
        download(Fault("reset"))


def test_records_repeat_across_pages(folder: Path, ask: Any) -> None:
    faults = Faults([Fault("repeat", "*page=2*")])
    with serve(folder, faults=faults) as archive:
        first, second = (ask(archive.url, 'nr:">0"', page=p).json()["recordings"] for p in (1, 2))
    assert second[:10] == first[-10:]
    assert len(second) == 110


def test_the_number_of_pages_grows(folder: Path, ask: Any) -> None:
    with serve(folder, faults=Faults([Fault("grow"), Fault("grow")])) as archive:
        pages = [ask(archive.url, 'nr:">0"', page=p, per_page=50).json() for p in (1, 2, 3)]
    assert [page["numPages"] for page in pages] == [2, 3, 5]
    assert [page["numRecordings"] for page in pages] == ["100", "150", "230"]


def test_a_script_is_consumed_in_order_by_the_requests_that_it_fits() -> None:
    faults = Faults([Fault("cut", "/2/*"), None, Fault("repeat"), Fault("503")])
    faults.add(Fault("reset"))
    paths = ["/1/download", "/1/download", "/2/download", "/3/download", "/api/3/recordings"]
    given = [f.kind if (f := faults.next(path)) else None for path in [*paths, "/1/download"]]
    assert given == [None, "503", "cut", "reset", "repeat", None]
    assert faults.given == [
        ("503", "/1/download"),
        ("cut", "/2/download"),
        ("reset", "/3/download"),
        ("repeat", "/api/3/recordings"),
    ]


def test_a_rate_gives_every_kind_where_it_belongs_and_the_same_for_the_same_seed() -> None:
    def drawn(seed: int, path: str) -> list[str]:
        faults = Faults(rate=0.2, rng=np.random.default_rng(seed))
        for _ in range(5000):
            faults.next(path)
        return [kind for kind, _ in faults.given]

    searches, downloads = drawn(1, "/api/3/recordings?page=1"), drawn(1, "/1/download")
    assert set(searches) == set(KINDS)
    assert set(downloads) == set(KINDS) - {"repeat", "grow"}
    assert 800 < len(searches) < 1200
    assert max(Counter(searches).values()) < 2 * min(Counter(searches).values())
    assert searches == drawn(1, "/api/3/recordings?page=1") != drawn(2, "/api/3/recordings?page=1")


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        Faults(rate=rate, rng=np.random.default_rng(0))


def test_a_rate_needs_a_generator() -> None:
    with pytest.raises(ValueError, match="Generator"):
        Faults(rate=0.1)
