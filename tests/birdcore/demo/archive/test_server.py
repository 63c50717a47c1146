import json
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from birdcore.demo.archive.api import page_of_records
from tests.support.archive import Fault, Faults, growing, recording, repeated, serve
from tests.support.records import generated

Record = dict[str, Any]


def ids(page: dict[str, Any]) -> list[str]:
    return [str(record["id"]) for record in page["recordings"]]


def test_a_search_is_paged_in_the_api_s_mixed_types(
    folder: Path, records: list[Record], ask: Any
) -> None:
    with serve(folder) as archive:
        pages = [ask(archive.url, 'lic:"by"', per_page=50, page=p).json() for p in (1, 2)]
        everything = [ask(archive.url, 'nr:">0"', page=p).json() for p in (1, 2, 3)]
    assert pages[0]["page"] == 1
    assert isinstance(pages[0]["numRecordings"], str)
    assert isinstance(pages[0]["numSpecies"], str)
    assert [p["numPages"] for p in everything] == [3, 3, 3]
    assert [len(p["recordings"]) for p in everything] == [100, 100, 30]
    assert [i for p in everything for i in ids(p)] == [str(r["id"]) for r in records]


def test_file_addresses_are_the_server_s_own_and_restricted_ones_stay(
    folder: Path, records: list[Record], ask: Any
) -> None:
    with serve(folder) as archive:
        found = [
            r for p in (1, 2, 3) for r in ask(archive.url, 'nr:">0"', page=p).json()["recordings"]
        ]
    for record, held in zip(found, records, strict=True):
        open_to_all = held["file"] not in (None, "restricted_species")
        here = f"{archive.url}/{held['id']}/download"
        assert record["file"] == (here if open_to_all else held["file"])


@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_a_wrong_key_is_answered_as_the_archive_does(
    folder: Path, key: str | None, shared_data: Path
) -> None:
    real = json.loads((shared_data / "xeno-canto-api" / "v3_xenocanto-rs_1.json").read_text())
    with serve(folder) as archive:
        answer = requests.get(
            f"{archive.url}/api/3/recordings", params={"query": "grp:birds", "key": key}, timeout=10
        )
    assert answer.status_code == 401
    assert answer.json() == real


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"query": ""}, "missing_parameter"),
        ({"query": "blackbird"}, "invalid_query"),
        ({"query": "grp:birds", "per_page": 49}, "invalid_parameter"),
        ({"query": "grp:birds", "per_page": 501}, "invalid_parameter"),
        ({"query": "grp:birds", "page": 0}, "invalid_parameter"),
    ],
)
def test_a_bad_request_says_what_is_wrong(
    folder: Path, given: dict[str, Any], code: str, ask: Any
) -> None:
    with serve(folder) as archive:
        answer = ask(archive.url, **given)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code


def test_a_page_after_the_last_is_empty(folder: Path, ask: Any) -> None:
    with serve(folder) as archive:
        assert ask(archive.url, 'nr:">0"', page=4).json()["recordings"] == []


@pytest.mark.parametrize(
    "path", ["/api/2/recordings?query=grp:birds", "/", "/1/download", "/x/download"]
)
def test_what_is_not_there_is_404(folder: Path, path: str) -> None:
    with serve(folder) as archive:
        assert requests.get(archive.url + path, timeout=10).status_code == 404


def test_a_restricted_recording_is_not_handed_out(folder: Path, records: list[Record]) -> None:
    records[0]["file"] = None
    (folder / "recordings.json").write_text(json.dumps(records))
    with serve(folder) as archive:
        answer = requests.get(f"{archive.url}/{records[0]['id']}/download", timeout=10)
    assert answer.status_code == 404


def test_a_download_goes_on_where_it_stopped(
    folder: Path, records: list[Record], song: bytes
) -> None:
    with serve(folder) as archive, requests.Session() as session:
        url = f"{archive.url}/{records[0]['id']}/download"
        whole = session.get(url, timeout=10)
        rest = session.get(
            url, headers={"range": "bytes=1000-", "If-Range": whole.headers["ETag"]}, timeout=10
        )
        changed = session.get(
            url, headers={"Range": "bytes=1000-", "If-Range": '"other"'}, timeout=10
        )
        past = session.get(url, headers={"Range": f"bytes={len(song)}-"}, timeout=10)
    assert whole.content == song
    assert whole.headers["Content-Type"] == "audio/mpeg"
    assert (rest.status_code, rest.content) == (206, song[1000:])
    assert rest.headers["Content-Range"] == f"bytes 1000-{len(song) - 1}/{len(song)}"
    assert (changed.status_code, changed.content) == (200, song)
    assert (past.status_code, past.headers["Content-Range"]) == (416, f"bytes */{len(song)}")
    assert [status for _, _, status in archive.log] == [200, 206, 200, 416]


@given(start=st.integers(0, 300), length=st.integers(1, 300))
def test_ranges_are_slices(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "range.mp3"
    song = bytes(range(256))
    if not path.exists():
        path.write_bytes(song)
    middle = recording(path, f"bytes={start}-{start + length - 1}", None)
    last = recording(path, f"bytes=-{length}", None)
    if start < len(song):
        assert (middle.status, middle.body) == (206, song[start : start + length])
    else:
        assert middle.status == 416
    assert (last.status, last.body) == (206, song[-length:])


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=5-1", "bytes=1-2,5-6", "lines=1-2", "", None])
def test_ranges_that_are_none_give_the_whole(tmp_path: Path, asked: str | None) -> None:
    (tmp_path / "a.wav").write_bytes(b"abcdef")
    answer = recording(tmp_path / "a.wav", asked, None)
    assert (answer.status, answer.body) == (200, b"abcdef")


@given(
    count=st.integers(0, 300), per_page=st.integers(1, 60), wrong=st.sets(st.integers(1, 10)),
    repeat=st.booleans(), grow=st.booleans(),
)  # fmt: skip
def test_who_reads_on_to_the_last_page_has_seen_every_record(
    count: int, per_page: int, wrong: set[int], repeat: bool, grow: bool
) -> None:
    found = [{"id": str(i), "file": None} for i in range(count)]
    seen: list[str] = []
    page, pages = 0, 1
    while page < pages:
        page += 1
        answer = json.loads(page_of_records(found, page, per_page, "").body)
        if page in wrong and repeat:
            answer = repeated(answer, found[: (page - 1) * per_page])
        if page in wrong and grow:
            answer = growing(answer, per_page)
        pages = answer["numPages"]
        seen += ids(answer)
    assert list(dict.fromkeys(seen)) == [r["id"] for r in found]


def test_an_archive_can_gain_recordings(folder: Path, ask: Any) -> None:
    with serve(folder) as archive:
        before = ask(archive.url, 'nr:">0"').json()["numRecordings"]
        (folder / "recordings.json").write_text(json.dumps(generated(233, seed=5)))
        after = ask(archive.url, 'nr:">0"').json()["numRecordings"]
        (folder / "recordings.json").write_text("[{")
        half_written = ask(archive.url, 'nr:">0"').json()["numRecordings"]
    assert (before, after, half_written) == ("230", "233", "233")


def test_the_log_is_without_the_key_and_tells_where_it_leaked(
    folder: Path, records: list[Record], ask: Any
) -> None:
    key = "5ecret key/+"
    with serve(folder, key=key) as archive:
        download = f"{archive.url}/{records[0]['id']}/download"
        ask(archive.url, "sp:alba", key=key)
        requests.get(download, timeout=10)
        assert archive.leaked == []
        requests.get(download, params={"key": key}, timeout=10)
        requests.get(download, headers={"X-Key": key}, timeout=10)
    path = f"/{records[0]['id']}/download"
    assert archive.log == [
        ("GET", "/api/3/recordings?query=sp%3Aalba", 200),
        *[("GET", path, 200)] * 3,
    ]
    assert archive.leaked == [path, path]


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '[{"gen": "Turdus"}]'])
def test_a_folder_without_records_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "recordings.json").write_text(content)
    with pytest.raises(ValueError, match=r"recordings\.json"), serve(tmp_path):
        pass


def test_all_threads_end_with_clients_still_connected(
    folder: Path, records: list[Record], ask: Any
) -> None:
    before = set(threading.enumerate())
    faults = Faults([None, Fault("drip", drip_s=600)])
    with requests.Session() as session:
        with serve(folder, faults=faults) as archive:
            url = f"{archive.url}/{records[0]['id']}/download"
            session.get(url, timeout=10)
            dripping = session.get(url, stream=True, timeout=10)
            assert set(threading.enumerate()) > before
        assert set(threading.enumerate()) == before
        dripping.close()


def test_it_serves_the_real_recordings(shared_data: Path, ask: Any) -> None:
    with serve(shared_data / "xeno-canto") as archive:
        record = ask(archive.url, 'gen:Setophaga q:">C"').json()["recordings"][0]
        song = requests.get(record["file"], timeout=10).content
    assert song == (shared_data / "xeno-canto" / "audio" / record["file-name"]).read_bytes()
