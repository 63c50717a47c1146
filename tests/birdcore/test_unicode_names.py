import os
import unicodedata
from pathlib import Path

from birdcore.unicode_names import by_casefold, find_by_name, is_utf8, nfc, printable


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def test_find_by_name_accepts_any_form(tmp_path: Path) -> None:
    mixed = f"{nfd('Ä')}/{nfc('ö')}{nfd('é')}.ogg"
    (tmp_path / mixed).parent.mkdir()
    (tmp_path / mixed).touch()
    assert find_by_name(tmp_path, nfc(mixed)) == tmp_path / mixed
    (tmp_path / nfd("Ähre.wav")).touch()
    assert find_by_name(tmp_path, nfc("Ähre.wav")) == tmp_path / nfd("Ähre.wav")


def test_find_by_name_searches_folders_of_both_forms(tmp_path: Path) -> None:
    for form, name in ((nfc, "a.ogg"), (nfd, "b.ogg")):
        (tmp_path / form("Ö")).mkdir()
        (tmp_path / form("Ö") / name).touch()
    assert find_by_name(tmp_path, nfc("Ö/b.ogg")) == tmp_path / nfd("Ö") / "b.ogg"
    assert find_by_name(tmp_path, nfc("Ö/c.ogg")) == tmp_path / nfc("Ö/c.ogg")


def test_is_utf8_and_printable_handle_other_bytes() -> None:
    name = os.fsdecode(b"Bj\xf6rn.ogg")
    assert not is_utf8(name)
    assert printable(name) == r"Bj\xf6rn.ogg"
    assert is_utf8("Björn.ogg")


def test_by_casefold_ignores_capitals() -> None:
    assert by_casefold(["a/X.OGG"]).get("A/x.ogg".casefold()) == "a/X.OGG"
