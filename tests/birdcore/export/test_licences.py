"""Models are given away only where the licences of their recordings let them be."""

from pathlib import Path

import pytest

from birdcore.export.licences import ATTRIBUTION_FILE, check_licences


def listed(folder: Path, *licences: str) -> Path:
    rows = [f"r{n}.ogg,Ann,{licence}" for n, licence in enumerate(licences)]
    (folder / ATTRIBUTION_FILE).write_text("\n".join(["recording,author,license", *rows]) + "\n")
    return folder


def test_licences_that_allow_derivatives_are_counted(tmp_path: Path) -> None:
    allowed = ["cc-by-nc-sa 4.0", "by-nc-sa", "cc0", "//creativecommons.org/licenses/by/4.0/",
               "cc0", "Creative Commons Attribution-NonCommercial-ShareAlike 3.0",
               "Apache-2.0"]  # fmt: skip
    counts = check_licences(listed(tmp_path, *allowed), accept=False)
    assert sum(counts.values()) == 7
    assert counts["cc0"] == 2


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("cc-by-nc-nd 4.0", r"1 forbid derivatives \(ND\)"),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "1 forbid derivatives"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 3.0", "1 forbid derivatives"),
        ("", "1 have no licence"),
        ("by-nc-nd", "1 forbid derivatives"),
        ("sung by Ada", "1 have the unknown licence 'sung by Ada'"),
        ("All rights reserved", "1 have the unknown licence 'All rights reserved'"),
    ],
)
def test_others_are_refused_with_the_reason(tmp_path: Path, licence: str, reason: str) -> None:
    run = listed(tmp_path, "cc0", licence)
    with pytest.raises(ValueError, match=reason) as raised:
        check_licences(run, accept=False)
    assert "--accept-licences" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert check_licences(run, accept=True) == {"cc0": 1, licence: 1}


def test_a_run_without_a_list_of_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lists no recording"):
        check_licences(tmp_path, accept=False)
    assert check_licences(tmp_path, accept=True) == {}
