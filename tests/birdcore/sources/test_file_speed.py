from pathlib import Path

import numpy as np
import pytest

from birdcore.sources.file_speed import speed_of_files
from birdcore.sources.source import Source, SourceFile, Subset
from tests.support.guano import write_guano


def source(root: Path, **said: str) -> Source:
    for name, text in said.items():
        write_guano(root / f"{name}.wav", np.zeros(9), 44_100, f"GUANO|Version: 1.0\n{text}")
    files = tuple(SourceFile(f"{name}.wav", 0, "") for name in (*said, "gone"))
    return Source(
        "x", root, (Subset("a", "labelled", files[:1]), Subset("b", "test", files[1:])), {}
    )


def test_speed_that_all_files_say_is_that_of_the_run(tmp_path: Path) -> None:
    assert speed_of_files([source(tmp_path, one="TE: 10", two="TE:10.0")]) == 10.0
    assert speed_of_files([source(tmp_path, three="Make: X")]) == 1.0
    assert speed_of_files([]) == 1.0


def test_files_of_two_speeds_are_refused_by_name(tmp_path: Path) -> None:
    found = [source(tmp_path, one="TE: 10"), source(tmp_path, two="Make: X")]
    with pytest.raises(
        ValueError, match=r"one\.wav is 10 times slower than life, two\.wav 1 times"
    ):
        speed_of_files(found)
