import shutil
from pathlib import Path

import pytest

from birdcore.sources.birdclef import scan
from birdcore.sources.soundscape_labels import LabelledWindow
from birdcore.sources.soundscapes import rows_of, sample_decides, soundscape_problems
from birdcore.sources.source import STAND_INS
from birdcore.sources.stand_ins import stand_ins, with_stand_ins
from birdcore.store.store import Store


@pytest.fixture
def without_test(shared_data: Path, tmp_path: Path) -> Path:
    """2026's folder as the public has it: a test folder with nothing but a text in it."""
    data = tmp_path / "data"
    shutil.copytree(shared_data / "birdclef-2026-mini", data, copy_function=link)
    shutil.rmtree(data / "test_soundscapes")
    (data / "test_soundscapes").mkdir()
    (data / "test_soundscapes/readme.txt").write_text("about 600 files when it runs\n")
    return data


def link(source: str, target: str) -> None:
    Path(target).symlink_to(source)


def window(recording: str, *labels: str) -> LabelledWindow:
    return LabelledWindow(recording, 0.0, 5.0, labels, 2)


def test_labelled_soundscapes_stand_in_for_an_empty_test_set(
    without_test: Path, tmp_path: Path
) -> None:
    plain = scan(without_test, Store(tmp_path / "store"))
    source = with_stand_ins(plain)
    chosen = [file.path for file in source.subset("test").files]
    assert len(chosen) == 12
    assert chosen == sorted(chosen)
    assert source.subset("test").name == STAND_INS
    table = (without_test / "train_soundscapes_labels.csv").read_text()
    labelled = {row.partition(",")[0] for row in table.splitlines()[1:]}
    # Of the twelve labelled ones, one alone has a class: it trains in every fold.
    assert len(labelled) == 12
    assert len(labelled & {Path(path).name for path in chosen}) == 11
    training = [each for each in plain.subsets if each.use != "test"]
    assert [each for each in source.subsets if each.use != "test"] == training  # as it was
    assert [each.where for each in source.problems if each not in plain.problems] == [
        "test_soundscapes"
    ]


def test_their_rows_are_named_after_them(without_test: Path, tmp_path: Path) -> None:
    source = with_stand_ins(scan(without_test, Store(tmp_path / "store")))
    assert not sample_decides(source)
    assert "BC2026_Train_0001_S05_20250601_000000" in rows_of(source).values()
    assert {each.problem for each in soundscape_problems(source)} == {
        "rows of no soundscape that is there"
    }


def test_test_soundscapes_that_are_there_stay(
    without_test: Path, shared_data: Path, tmp_path: Path
) -> None:
    given = next((shared_data / "birdclef-2026-mini/test_soundscapes").glob("*.ogg"))
    link(str(given), str(without_test / "test_soundscapes" / given.name))
    source = scan(without_test, Store(tmp_path / "store"))
    assert with_stand_ins(source) is source


def test_a_test_set_that_cannot_be_read_is_not_empty(without_test: Path, tmp_path: Path) -> None:
    link(str(tmp_path / "nowhere.ogg"), str(without_test / "test_soundscapes/a.ogg"))
    source = scan(without_test, Store(tmp_path / "store"))
    assert with_stand_ins(source) is source


def test_those_that_alone_have_a_class_come_last() -> None:
    windows = [window("a", "x"), window("b", "x"), window("c", "x", "rare"), window("a")]
    assert stand_ins(["a", "b", "c", "d", "e"], windows, 2) == ["a", "b"]
    assert stand_ins(["a", "b", "c", "d", "e"], windows, 4) == ["a", "b", "d", "e"]
    assert stand_ins(["c", "d"], windows[2:3], 1) == ["d"]


def test_without_labels_the_choice_hangs_on_names_alone() -> None:
    names = [f"train_soundscapes/{n}.ogg" for n in range(50)]
    chosen = stand_ins(names, [])
    assert stand_ins(list(reversed(names)), []) == chosen
    more = stand_ins([*names, "train_soundscapes/new.ogg"], [])
    assert len(set(more) - set(chosen)) <= 1
