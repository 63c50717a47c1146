"""Recorders' metadata: of real files, and each of the places that they stand in."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from birdcore.detection.recorders import from_audiomoth_comment, from_name, read_recorder
from birdcore.detection.table import RecorderInfo


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metadata.wav", RecorderInfo(
            "AudioMoth", "24526B065D325963", "2020-04-04T10:25:00+00:00")),
        ("audiomoth_gps.wav", RecorderInfo(
            "AudioMoth", "243B1F026488F56E", "2024-05-28T10:00:00+00:00", temperature=12.8)),
        # Digits in a name and the comment of an archive are no time of a recorder.
        ("aru_1.wav", RecorderInfo()),
        ("veryshort.wav", RecorderInfo()),
        ("empty_2c.wav", RecorderInfo()),
    ],
)  # fmt: skip
def test_metadata_of_recorders_files(shared_data: Path, name: str, expected: RecorderInfo) -> None:
    assert read_recorder(shared_data / "field" / "recorders" / name) == expected


def test_metadata_of_a_recorders_day(shared_data: Path) -> None:
    files = sorted((shared_data / "field" / "recorder-day").iterdir())
    found = [read_recorder(path) for path in files]
    assert {(info.recorder, info.serial) for info in found} == {("Song Meter", "S4A03895")}
    assert [info.recorded_at for info in found[:2]] == [
        "2019-05-22T00:00:00",
        "2019-05-22T01:30:00",
    ]


@pytest.mark.parametrize(
    ("name", "recorded_at", "site"),
    [
        ("SITE_20250227_010002.wav", "2025-02-27T01:00:02", "SITE"),
        ("20210601_050000.WAV", "2021-06-01T05:00:00", ""),
        ("wood-1_20210601_050000_left.wav", "2021-06-01T05:00:00", "wood-1"),
        ("SwiftOne_20220719_000000_-0400.wav", "2022-07-19T00:00:00-04:00", "SwiftOne"),
        ("OWL_123456_2022-07-19_T00-30-00.WAV", "2022-07-19T00:30:00", "OWL_123456"),
        ("5F16A04E.WAV", "2020-07-21T07:59:10+00:00", ""),
        ("20190607T095935+1000_REC.flac", "2019-06-07T09:59:35+10:00", ""),
        ("XC551413.ogg", "", ""),
        ("20210601.wav", "", ""),
        ("aru_1.wav", "", ""),
        ("DEADBEEF.wav", "", ""),
        ("99999999_999999.wav", "", ""),
        ("", "", ""),
    ],
)
def test_times_in_names(name: str, recorded_at: str, site: str) -> None:
    info = from_name(name)
    assert (info.recorded_at, info.site) == (recorded_at, site)


def test_name_of_frontier_labs_has_a_padded_day_and_a_position() -> None:
    info = from_name("201906 7T095935+1000_REC [19.2144 152.8811].flac")
    assert info.recorded_at == "2019-06-07T09:59:35+10:00"
    assert (info.latitude, info.longitude) == (19.2144, 152.8811)


def test_name_of_a_song_meter_has_its_serial() -> None:
    info = from_name("SM304290_0+1_20211001_120004.wav")
    assert info == RecorderInfo("Song Meter", "SM304290", "2021-10-01T12:00:04")


@pytest.mark.parametrize(
    ("zone", "offset"), [("UTC", "+00:00"), ("UTC-5", "-05:00"), ("UTC+0530", "+05:30")]
)
def test_comments_of_audiomoths(zone: str, offset: str) -> None:
    info = from_audiomoth_comment(
        f"Recorded at 19:30:00.500 04/06/2021 ({zone}) during deployment 0123456789ABCDEF at "
        "medium gain while battery was less than 2.5V and temperature was -1.2C."
    )
    assert info == RecorderInfo("AudioMoth", "", f"2021-06-04T19:30:00{offset}", temperature=-1.2)


def with_guano(path: Path, text: str, comment: str = "") -> Path:
    with sf.SoundFile(path, "w", 8_000, 1, "PCM_16") as file:
        if comment:
            file.comment = comment
        file.write(np.zeros(80, np.float32))
    content = text.encode()
    chunk = b"guan" + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    whole = path.read_bytes() + chunk
    path.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    return path


def test_guano_comes_before_comment_and_name(tmp_path: Path) -> None:
    path = with_guano(
        tmp_path / "SITE_20250227_010002.wav",
        "GUANO|Version: 1.0\nTimestamp: 2022-08-15 21:34:14+0100\nLoc Position: 51.5 -0.25\n"
        "Make: Wildlife Acoustics\nModel: SM4\nSerial: S4A1\nno line of it\nTemperature Int: 8.5\n",
        "Recorded at 19:30:00 04/06/2021 (UTC) by AudioMoth 24F31904603A2F8C at medium gain while "
        "battery was 4.1V and temperature was 12.8C.",
    )
    assert read_recorder(path) == RecorderInfo(
        "Wildlife Acoustics SM4", "S4A1", "2022-08-15T21:34:14+01:00", 51.5, -0.25, 8.5, "SITE"
    )


def test_what_guano_leaves_open_is_filled_by_others(tmp_path: Path) -> None:
    path = with_guano(
        tmp_path / "SITE_20250227_010002.wav", "Timestamp: yesterday\nLoc Position: 0.0 0.0\n"
    )
    assert read_recorder(path) == RecorderInfo(recorded_at="2025-02-27T01:00:02", site="SITE")


@pytest.mark.parametrize("time", ["1970-01-01T00:00:12", "2089-01-01T00:00:00", "no time", ""])
def test_clock_that_was_never_set_costs_only_the_time(tmp_path: Path, time: str) -> None:
    path = with_guano(tmp_path / "a.wav", f"Timestamp: {time}\nSerial: S4A1\n")
    assert read_recorder(path) == RecorderInfo(serial="S4A1")
