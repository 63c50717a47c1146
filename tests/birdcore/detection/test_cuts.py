"""Segments of real recordings, read back, and a table that keeps what people write into it."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from birdcore.detection.cuts import CutSettings, cut_segments
from birdcore.detection.table import Species
from birdcore.detection.verdicts import COLUMNS

DAY = "S4A03895_20190522_060000.flac"
EVENTS = {
    DAY: [(0.0, 0.5, 0, 0.9), (4.0, 9.0, 0, 0.31), (3.0, 4.0, 1, 0.5)],
    "S4A03895_20190522_073000.flac": [(9.5, 10.0, 0, 0.7)],
}
MERULA, COLLYBITA = "Turdus merula_Eurasian Blackbird", "Phylloscopus collybita_Common Chiffchaff"


def rows(out: Path, delimiter: str = ",") -> list[dict[str, str]]:
    text = (out / "segments.csv").read_text()
    return list(csv.DictReader(text.splitlines(), delimiter=delimiter))


@pytest.fixture
def day(detected: Any, shared_data: Path) -> Path:
    """Detections in real recordings."""
    made: Path = detected(EVENTS, root=shared_data / "field" / "recorder-day")
    return made


def test_segments_are_what_was_detected(day: Path, shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cuts"
    done = cut_segments(day, out, CutSettings(choose="confidence"))
    assert (done.cut, done.species, done.known, done.skipped) == (4, 2, 0, {})
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        f"{COLLYBITA}/0.500_1_S4A03895_20190522_060000_2.0s_5.0s.wav",
        f"{MERULA}/0.310_3_S4A03895_20190522_060000_4.0s_9.0s.wav",
        f"{MERULA}/0.700_2_S4A03895_20190522_073000_8.2s_10.0s.wav",
        f"{MERULA}/0.900_1_S4A03895_20190522_060000_0.0s_1.8s.wav",
        "segments.csv",
    ]
    table = rows(out)
    assert tuple(table[0]) == COLUMNS
    for row in table:
        samples, rate = sf.read(out / row["segment"], dtype="int16")
        whole, _ = sf.read(shared_data / "field" / "recorder-day" / row["file"], dtype="int16")
        first, last = (round(float(row[name]) * rate) for name in ("cut_start_s", "cut_end_s"))
        assert rate == 22_000
        np.testing.assert_array_equal(samples, whole[first:last])
        assert (row["verdict"], row["comment"]) == ("", "")
    assert {row["recorded_at"] for row in table} == {"2019-05-22T06:00:00", "2019-05-22T07:30:00"}
    first_row = next(row for row in table if row["confidence"] == "0.9")
    assert (first_row["scientific_name"], first_row["start_s"], first_row["end_s"]) == (
        "Turdus merula", "0", "0.5"
    )  # fmt: skip


def test_rate_channels_and_fine_samples_stay(detected: Any, tmp_path: Path) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    sound = np.random.default_rng(0).normal(0, 1e-4, (5 * 96_000, 3))
    sf.write(root / "three.wav", sound, 96_000, subtype="PCM_24")
    out = tmp_path / "cuts"
    cut_segments(detected({"three.wav": [(2, 3, 0, 0.9)]}), out, CutSettings(seconds=2))
    (row,) = rows(out)
    info = sf.info(out / row["segment"])
    assert (info.samplerate, info.channels, info.subtype) == (96_000, 3, "PCM_24")
    samples, _ = sf.read(out / row["segment"])
    whole, _ = sf.read(root / "three.wav")
    np.testing.assert_array_equal(samples, whole[144_000:336_000])


def test_verdicts_stay_and_more_is_added(day: Path, tmp_path: Path) -> None:
    out = tmp_path / "cuts"
    cut_segments(day, out, CutSettings(choose="confidence", most=1))
    table = rows(out)
    assert len(table) == 2
    # A spreadsheet saves other delimiters and decimals, a column of its own and another order.
    names = ["verdict", "heard by", *(name for name in COLUMNS if name not in ("verdict", "model"))]
    filled = {
        **table[0],
        "verdict": "yes",
        "heard by": "=me",
        "end_s": table[0]["end_s"].replace(".", ","),
    }
    with (out / "segments.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, names, delimiter=";", extrasaction="ignore")
        writer.writeheader()
        writer.writerows([filled, table[1] | {"heard by": ""}])
    (out / table[0]["segment"]).unlink()
    (out / table[1]["segment"]).unlink()
    done = cut_segments(day, out, CutSettings(choose="confidence", most=9))
    assert (done.cut, done.known) == (3, 1)
    again = rows(out, ";")
    assert len(again) == 4
    assert list(again[0]) == [*names, "model"]
    assert (again[0]["verdict"], again[0]["heard by"]) == ("yes", "'=me")
    assert again[0]["end_s"] == filled["end_s"]
    assert not (out / again[0]["segment"]).exists()  # heard, and removed since
    assert all((out / row["segment"]).is_file() for row in again[1:])
    assert len({row["segment"] for row in again}) == 4
    content = (out / "segments.csv").read_bytes()
    assert cut_segments(day, out, CutSettings(choose="confidence", most=9)).cut == 0
    assert (out / "segments.csv").read_bytes() == content


def test_recordings_that_are_gone_are_said(
    detected: Any, shared_data: Path, tmp_path: Path
) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    (root / DAY).symlink_to(shared_data / "field" / "recorder-day" / DAY)
    (root / "page.wav").write_text("<html>")
    out = tmp_path / "cuts"
    detections = detected({**EVENTS, "page.wav": [(1, 2, 0, 0.4)]})
    done = cut_segments(detections, out, CutSettings())
    assert done.cut == len(rows(out)) == 3
    gone, page = sorted(done.skipped)
    assert gone == "can't be opened: No such file or directory"
    assert page.startswith("not a readable sound file")
    elsewhere = shared_data / "field" / "recorder-day"
    assert cut_segments(detections, out, CutSettings(), elsewhere).cut == 1


def test_names_are_of_any_machine(detected: Any, tmp_path: Path) -> None:
    root = tmp_path / "recordings"
    (root / "a").mkdir(parents=True)
    name = "a/=x:?*<y> %20..wav"
    sf.write(root / name, np.zeros(8_000), 8_000, format="WAV")
    species = [
        Species("son1", "Insecta", "Insecta"),
        Species("son2", "Insecta", "Insecta"),
        Species("..", "..", "../../etc"),
        Species("long", "x" * 300, ""),
    ]
    out = tmp_path / "cuts"
    events = [(0.25, 0.75, n, 0.5) for n in range(4)]
    cut_segments(detected({name: events}, species=species), out, CutSettings(seconds=0))
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == ["Insecta", "Insecta son2", "_.._.._etc", "x" * 80]
    for path in out.rglob("*.wav"):
        assert path.name == "0.500_1_=x____y_ %20_0.2s_0.8s.wav"
        assert sf.info(path).frames == 4_000


@pytest.mark.parametrize("letter", ["\N{CJK UNIFIED IDEOGRAPH-9CE5}", "\N{BIRD}", "\u00e9"])
def test_long_names_of_any_script_fit_a_file_system(
    detected: Any, tmp_path: Path, letter: str
) -> None:
    root = tmp_path / "recordings"
    root.mkdir()
    name = f"{letter * (200 // len(letter.encode()))}.wav"
    sf.write(root / name, np.zeros(8_000), 8_000)
    species = [Species("a", letter * 90, "")]
    cut_segments(
        detected({name: [(0, 1, 0, 0.5)]}, species=species), tmp_path / "cuts", CutSettings()
    )
    (path,) = (tmp_path / "cuts").rglob("*.wav")
    assert path.parent.name == letter * min(80, 160 // len(letter.encode()))
    assert letter * 40 in path.name


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_above_full_scale_are_not_clipped(
    detected: Any, tmp_path: Path, subtype: str
) -> None:
    (tmp_path / "recordings").mkdir()
    sound = np.random.default_rng(0).normal(0, 3, 20_000).astype(np.float32)
    sf.write(tmp_path / "recordings" / "loud.wav", sound, 4_000, subtype=subtype)
    cut_segments(detected({"loud.wav": [(1, 4, 0, 0.5)]}), tmp_path / "cuts", CutSettings())
    (path,) = (tmp_path / "cuts").rglob("*.wav")
    np.testing.assert_array_equal(sf.read(path, dtype="float32")[0], sound[4_000:16_000])


def test_detection_is_within_the_longest_segment(detected: Any, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    sf.write(tmp_path / "recordings" / "long.wav", np.zeros(200_000), 1_000)
    out = tmp_path / "cuts"
    cut_segments(detected({"long.wav": [(101, 103, 0, 0.5)]}), out, CutSettings(seconds=60))
    (row,) = rows(out)
    assert (row["cut_start_s"], row["cut_end_s"]) == ("72", "132")
    with pytest.raises(ValueError, match="less than or equal to 60"):
        CutSettings(seconds=61)


def test_a_confidence_that_none_has_is_refused(day: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no detection has a confidence of 0\.95 or more: the hi"):
        cut_segments(day, tmp_path / "cuts", CutSettings(min_conf=0.95))
    assert not (tmp_path / "cuts").exists()


def test_a_verdict_of_meanwhile_stays(day: Path, tmp_path: Path) -> None:
    out = tmp_path / "cuts"
    cut_segments(day, out, CutSettings(choose="confidence", most=1))

    def fill_in(done: int, total: int) -> None:
        text = (out / "segments.csv").read_text()
        (out / "segments.csv").write_text(text.replace(",,\n", ",no,\n"))

    done = cut_segments(day, out, CutSettings(choose="confidence"), progress=fill_in)
    assert done.cut == 2
    assert sorted(row["verdict"] for row in rows(out)) == ["", "", "no", "no"]


def test_what_can_not_be_cut_is_refused(
    detected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="has no detection in it: nothing to listen to"):
        cut_segments(detected({"a.wav": []}, folder="none"), tmp_path / "cuts", CutSettings())
    detections = detected({"a.wav": [(0, 1, 0, 0.5)]})
    with pytest.raises(ValueError, match=r"no recording is where it was found .*--audio DIR"):
        cut_segments(detections, tmp_path / "cuts", CutSettings())
    table = tmp_path / "alone.parquet"
    table.write_bytes((detections / "detections.parquet").read_bytes())
    with pytest.raises(ValueError, match="does not say where its recordings are"):
        cut_segments(table, tmp_path / "cuts", CutSettings())
    (tmp_path / "recordings").mkdir()
    sf.write(tmp_path / "recordings" / "a.wav", np.zeros(8_000), 8_000)
    other = tmp_path / "other"
    other.mkdir()
    for content, message in (
        (b"name,age\n", "has no column 'segment', so it is no table of segments"),
        (b"segment,file,class,start_s,end_s\na,b,c,x,1\n", "that is no number"),
        (b"\xff\xfe", "is not UTF-8"),
    ):
        (other / "segments.csv").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            cut_segments(detections, other, CutSettings())
        assert (other / "segments.csv").read_bytes() == content
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ValueError, match="can't be written to: give another --out"):
        cut_segments(detections, tmp_path / "cuts", CutSettings())


def test_what_was_cut_is_listed_where_a_run_is_stopped(day: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 4
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_segments(day, tmp_path / "cuts", CutSettings(), progress=stop)
    assert len(rows(tmp_path / "cuts")) == len(list((tmp_path / "cuts").rglob("*.wav"))) == 2
    assert cut_segments(day, tmp_path / "cuts", CutSettings()).cut == 2
