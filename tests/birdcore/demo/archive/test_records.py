import json
from pathlib import Path

from tests.support.records import generated


def test_a_seed_decides_and_more_keep_the_earlier_ones() -> None:
    assert generated(50, seed=3) == generated(80, seed=3)[:50]
    assert generated(50, seed=3) != generated(50, seed=4)


def test_records_have_the_real_ones_fields(shared_data: Path) -> None:
    real = json.loads((shared_data / "xeno-canto-api" / "v3_turdus_merula_page1.json").read_text())
    fields = list(real["recordings"][0])
    for record in generated(200, seed=0):
        assert list(record)[: len(fields)] == fields


def test_every_quirk_occurs() -> None:
    records = generated(2000, seed=0)
    assert len({str(r["id"]) for r in records}) == 2000
    assert {type(r["id"]) for r in records} == {str, int}
    assert {type(r["smp"]) for r in records} == {str, int}
    assert {len(str(r["length"]).split(":")) for r in records} == {2, 3}
    assert {"no score", "", "A", "E"} <= {r["q"] for r in records}
    assert any(str(r["date"]).endswith("-00") for r in records)
    assert any(r["file"] == "restricted_species" for r in records)
    assert any(r["file"] is None and "_meta" in r for r in records)
    assert any(r["gen"] == "Sonus" for r in records)
    assert {str(r["lic"]).partition("//")[0] for r in records} == {"https:", ""}
