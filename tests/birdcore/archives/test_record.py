import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.archives.fields import OTHER_SUFFIX, RecordError
from birdcore.archives.record import Record, parse_record, rating
from birdcore.archives.record_table import read_notes, read_records, write_records
from birdcore.audio.container import AUDIO_SUFFIXES


def parsed(**raw: Any) -> Record:
    return parse_record({"id": "7", **{k.replace("_", "-"): v for k, v in raw.items()}})


def test_a_real_record_is_read(shared_data: Path) -> None:
    answer = json.loads((shared_data / "xeno-canto-api" / "v3_xenocanto-rs_0.json").read_text())
    assert parse_record(answer["recordings"][0]) == Record(
        id=254462,
        scientific_name="Passerina amoena",
        common_name="Lazuli Bunting",
        group="birds",
        recordist="Jonathon Jongsma",
        country="United States",
        locality="Prairie Trail, Custer State Park, South Dakota",
        latitude=43.6571,
        longitude=-103.4143,
        types=("song",),
        sex="male, female",
        method="field recording",
        quality="A",
        length_s=253.0,
        date="2015-06-23",
        year=2015,
        month=6,
        licence="cc-by-sa 4.0",
        url="https://xeno-canto.org/254462",
        file_url="https://xeno-canto.org/254462/download",
        suffix=".mp3",
        sample_rate=48000,
        also=("Pipilo maculatus",),
        remarks="Songs from a bird perched atop a ponderosa pine at the edge of prairie. Same bird "
        "as XC254461, after flying to a different perch. Filtered lightly below 1kHz.",
    )


def test_all_real_records_are_read(shared_data: Path, tmp_path: Path) -> None:
    page = json.loads((shared_data / "xeno-canto-api" / "v3_turdus_merula_page1.json").read_text())
    listed = json.loads((shared_data / "xeno-canto" / "recordings.json").read_text())
    records = [parse_record(raw) for raw in page["recordings"] + listed]
    assert len({r.id for r in records}) == 220
    assert {r.suffix for r in records} == {".mp3", ".wav", ".flac"}
    assert all(r.file_url == f"https://xeno-canto.org/{r.id}/download" for r in records)
    assert all(r.url == f"https://xeno-canto.org/{r.id}" for r in records)
    assert all(r.length_s is not None and r.sample_rate for r in records)
    assert all(r.licence.startswith("cc") for r in records)
    assert {r.date for r in records[100:]} == {"2015-06"}
    assert sum(r.quality == "" for r in records) == 17
    assert not any(r.restricted or r.pseudo_species for r in records)
    write_records(tmp_path / "all.parquet", records)
    assert read_records(tmp_path / "all.parquet") == records


@pytest.mark.parametrize(
    ("length", "seconds"),
    [
        ("4:13", 253), ("1:02:03", 3723), ("0:00", 0), ("75:10", 4510), ("42", 42), (42, 42),
        ("0:03.5", 3.5), ("", None), (None, None), ("?", None), ("-1:00", None), ("1:2:3:4", None),
        (":", None), ("1:", None), ("nan", None), (True, None), ({}, None),
    ],
)  # fmt: skip
def test_lengths(length: object, seconds: float | None) -> None:
    assert parsed(length=length).length_s == seconds


@pytest.mark.parametrize(
    ("text", "date", "year", "month"),
    [
        ("2015-06-23", "2015-06-23", 2015, 6),
        ("1998-06-00", "1998-06", 1998, 6),
        ("1998-00-00", "1998", 1998, None),
        ("1998", "1998", 1998, None),
        ("2015-02-30", "2015-02", 2015, 2),
        ("2015-13-01", "2015", 2015, None),
        ("2015-6-3", "2015-06-03", 2015, 6),
        ("2015-06-23 04:00", "2015-06-23", 2015, 6),
        ("0000-00-00", "", None, None),
        ("0000-05-12", "", None, 5),
        ("unknown", "", None, None),
        ("20150623", "", None, None),
        (None, "", None, None),
    ],
)
def test_dates(text: object, date: str, year: int | None, month: int | None) -> None:
    record = parsed(date=text)
    assert (record.date, record.year, record.month) == (date, year, month)


@pytest.mark.parametrize(
    ("address", "licence"),
    [
        ("//creativecommons.org/licenses/by-nc-sa/4.0/", "cc-by-nc-sa 4.0"),
        ("https://creativecommons.org/licenses/by-nc-nd/2.5/", "cc-by-nc-nd 2.5"),
        ("http://www.creativecommons.org/licenses/BY/3.0/us", "cc-by 3.0 us"),
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.en", "cc-by-sa 4.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "cc0 1.0"),
        ("//creativecommons.org/publicdomain/mark/1.0/", "pdm 1.0"),
        ("all rights reserved", "all rights reserved"),
        ("", ""),
        (None, ""),
    ],
)
def test_licences_are_spelt_as_in_train_csv(address: object, licence: str) -> None:
    assert parsed(lic=address).licence == licence


@pytest.mark.parametrize(
    ("q", "quality", "stars"),
    [("A", "A", 5), ("e", "E", 1), ("no score", "", None), ("", "", None), (None, "", None)],
)
def test_quality_is_a_rating(q: object, quality: str, stars: float | None) -> None:
    assert parsed(q=q).quality == quality
    assert rating(quality) == stars


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("XC7-a.b.mp3", ".mp3"), ("loud.WAV", ".wav"), ("x.flac", ".flac"), ("x", OTHER_SUFFIX),
        ("x.exe", OTHER_SUFFIX), ("mp3", ".mp3"), ("../../etc/x.mp3/", OTHER_SUFFIX),
        ("x.mp3/../y", OTHER_SUFFIX), (None, OTHER_SUFFIX),
    ],
)  # fmt: skip
def test_a_suffix_is_one_of_ours(name: object, suffix: str) -> None:
    assert parsed(file_name=name).suffix == suffix
    assert suffix in {*AUDIO_SUFFIXES, OTHER_SUFFIX}


def test_addresses_have_a_protocol_or_are_none() -> None:
    record = parsed(url="//xeno-canto.org/7", file="//xeno-canto.org/7/download")
    assert record.url == "https://xeno-canto.org/7"
    assert record.file_url == "https://xeno-canto.org/7/download"
    for bad in ("file:///etc/passwd", "javascript:1", "7/download", "http://[x", "https://", ""):
        record = parsed(url=bad, file=bad)
        assert (record.url, record.file_url) == ("https://xeno-canto.org/7", None)


def test_restricted_species_have_no_file() -> None:
    gone = dict.fromkeys(("loc", "lat", "lon", "file", "file_name"))
    meta = {"redacted_fields": {"file": "restricted_species", "loc": "restricted_species"}}
    for record in (parsed(**gone), parse_record({"id": 7, **gone, "_meta": meta})):
        assert (record.file_url, record.latitude, record.locality) == (None, None, "")
        assert record.suffix == OTHER_SUFFIX
    assert parse_record({"id": 7, **gone, "_meta": meta}).restricted
    assert parsed(file="restricted_species").restricted
    assert parsed(file="restricted_species").file_url is None
    assert not parsed(**gone).restricted


@pytest.mark.parametrize(
    ("raw", "is_none"),
    [
        ({"gen": "Sonus", "sp": "naturalis", "grp": "soundscape"}, True),
        ({"gen": "Mystery", "sp": "mystery"}, True),
        ({"gen": "Turdus", "sp": "merula", "grp": "soundscape"}, True),
        ({"gen": "Turdus", "sp": ""}, True),
        ({}, True),
        ({"gen": "Turdus", "sp": "merula", "status": "unidentified"}, True),
        ({"gen": "Turdus", "sp": "merula", "status": "questioned"}, False),
        ({"gen": "Turdus", "sp": "merula"}, False),
    ],
)
def test_pseudo_species(raw: dict[str, str], is_none: bool) -> None:
    assert parsed(**raw).pseudo_species == is_none


def test_text_is_one_line_without_entities_and_escapes() -> None:
    record = parsed(
        rec=" M&uuml;ller &amp; S&#246;hne ", rmk="a\r\n\r\n b\x1b[31m\ud800\x00", loc=None, en=3,
        type="Song, flight  call,, song", also=["Turdus merula", "", None, "Turdus merula"],
        lat="91", lon="-180", smp="44100",
    )  # fmt: skip
    assert record.recordist == "Müller & Söhne"
    assert record.remarks == "a b[31m"
    assert (record.locality, record.common_name) == ("", "3")
    assert record.types == ("song", "flight call")
    assert record.also == ("Turdus merula",)
    assert (record.latitude, record.longitude, record.sample_rate) == (None, -180, 44100)
    assert parsed(type=["Song"], also="a, b").types == ("song",)
    assert parsed(smp=48000, lat="x", lon="nan").sample_rate == 48000
    assert parsed(lat="x", lon="nan").longitude is None


@pytest.mark.parametrize("value", [551455, "551455", "XC551455", " 551455 "])
def test_ids_are_numbers_or_text(value: object) -> None:
    assert parse_record({"id": value}).id == 551455


@pytest.mark.parametrize(
    "value", [None, "", 0, "0", -1, "1.5", 1.5, True, "../1", "٣", [], "9" * 99]
)
def test_without_an_id_there_is_no_record(value: object) -> None:
    with pytest.raises(RecordError, match="no number above 0"):
        parse_record({"id": value})


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = (
    *("gen", "sp", "ssp", "grp", "en", "rec", "cnt", "loc", "lat", "lon", "type", "sex", "stage"),
    *("method", "q", "url", "file", "file-name", "lic", "length", "date", "also", "rmk", "smp"),
    *("status", "_meta"),
)


@given(st.dictionaries(st.sampled_from(KEYS), junk), st.integers(1, 10**9))
def test_whatever_the_archive_sends_is_read_written_and_read_again(
    tmp_path_factory: pytest.TempPathFactory, raw: dict[str, object], number: int
) -> None:
    record = parse_record({**raw, "id": number})
    path = tmp_path_factory.getbasetemp() / "junk.parquet"
    write_records(path, [record])
    assert read_records(path) == [record]


@pytest.mark.parametrize("raw", [None, [], "1", 1, [{"id": 1}], True])
def test_what_is_no_table_of_fields_is_no_record(raw: object) -> None:
    with pytest.raises(RecordError, match="no table of fields"):
        parse_record(raw)


@pytest.mark.parametrize(
    ("field", "value", "attribute", "unsaid"),
    [
        ("length", "99999:99:99", "length_s", None),
        ("length", "999999:00", "length_s", None),
        ("length", "-4:13", "length_s", None),
        ("length", "१:३०", "length_s", None),
        ("lat", 1e400, "latitude", None),
        ("lat", "9" * 400, "latitude", None),
        ("lon", float("nan"), "longitude", None),
        ("smp", 10**30, "sample_rate", None),
        ("file", "ftp://xeno-canto.org/1", "file_url", None),
        ("file", "file:///etc/passwd", "file_url", None),
        ("file", "https://who:secret@xeno-canto.org/1", "file_url", None),
        ("file", "https://xeno-canto.org@other.example/1", "file_url", None),
        ("file", "https://[::1", "file_url", None),
        ("file", "javascript:alert(1)", "file_url", None),
        ("file", "https://x.example/" + "a" * 5000, "file_url", None),
        ("url", "javascript:alert(1)", "url", "https://xeno-canto.org/1"),
        ("url", "//[", "url", "https://xeno-canto.org/1"),
        ("file-name", "../../../etc/cron.d/x.mp3", "suffix", ".mp3"),
        ("file-name", "a.mp3/../../b", "suffix", ".audio"),
        ("file-name", "a.mp3\0", "suffix", ".mp3"),
        ("lic", "creativecommons.org/licenses/" + "/" * 9000 + "x", "licence", ""),
        ("lic", "a\n| b |\x1b[2J\u202e", "licence", "a | b |[2J"),
        ("rec", "\ud800x", "recordist", "x"),
        ("rec", [["x"]], "recordist", ""),
        ("q", {"A": 1}, "quality", ""),
    ],
)  # fmt: skip
def test_what_is_absurd_is_not_said(
    field: str, value: object, attribute: str, unsaid: object, tmp_path: Path
) -> None:
    record = parse_record({"id": 1, field: value})
    if field != "lic" or not str(value).endswith("x"):
        assert getattr(record, attribute) == unsaid
    write_records(tmp_path / "records.parquet", [record])
    assert read_records(tmp_path / "records.parquet") == [record]


def test_a_text_without_end_is_cut() -> None:
    assert len(parse_record({"id": 1, "rmk": "a" * 10**6}).remarks) == 10_000


def test_notes_stay_with_a_table_also_with_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    write_records(path, [], {"query": 'cnt:"Côte"'})
    assert read_records(path) == []
    assert read_notes(path) == {"query": 'cnt:"Côte"'}
    write_records(path, [Record(1), Record(2)])
    assert [r.id for r in read_records(path)] == [1, 2]
    assert read_notes(path) == {}
    assert pq.read_table(path).num_rows == 2
    assert [p.name for p in tmp_path.iterdir()] == ["none.parquet"]
