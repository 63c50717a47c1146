"""Recordings of a folder."""

import unicodedata

from birdcore.export.kit import recordings as kit
from birdcore.sources.row_names import row_names


def test_rows_are_named_as_birdflow_names_them() -> None:
    paths = ["a/x.ogg", "b/x.ogg", "b/x.wav", "c/u\N{COMBINING DIAERESIS}.ogg", "y.ogg"]
    named = row_names(f"test_soundscapes/{path}" for path in paths)
    expected = [unicodedata.normalize("NFC", name) for name in named.values()]
    assert kit.row_names(paths) == expected
