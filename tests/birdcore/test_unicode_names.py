import os
import unicodedata
from pathlib import Path

from birdcore.unicode_names import by_casefold, find_by_name, is_utf8, nfc, printable


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def test_a_file_is_found_by_its_name_in_any_form(tmp_path: Path) -> None:
    mixed = f"{nfd('Ä')}/{nfc('ö')}{nfd('é')}.ogg"
    (tmp_path / mixed).parent.mkdir()
    (tmp_path / mixed).touch()
    assert find_by_name(tmp_path, nfc(mixed)) == tmp_path / mixed
    (tmp_path / nfd("Ähre.wav")).touch()
    assert find_by_name(tmp_path, nfc("Ähre.wav")) == tmp_path / nfd("Ähre.wav")


def test_a_folder_that_is_there_in_both_forms_hides_nothing(tmp_path: Path) -> None:
    for form, name in ((nfc, "a.ogg"), (nfd, "b.ogg")):
        (tmp_path / form("Ö")).mkdir()
        (tmp_path / form("Ö") / name).touch()
    assert find_by_name(tmp_path, nfc("Ö/b.ogg")) == tmp_path / nfd("Ö") / "b.ogg"
    assert find_by_name(tmp_path, nfc("Ö/c.ogg")) == tmp_path / nfc("Ö/c.ogg")


def test_bytes_that_are_not_utf8_are_told_and_shown() -> None:
    name = os.fsdecode(b"Bj\xf6rn.ogg")
    assert not is_utf8(name)
    assert printable(name) == r"Bj\xf6rn.ogg"
    assert is_utf8("Björn.ogg")


def test_near_misses_differ_in_capitals() -> None:
    assert by_casefold(["a/X.OGG"]).get("A/x.ogg".casefold()) == "a/X.OGG"
