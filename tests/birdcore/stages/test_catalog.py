import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from birdcore.csv_table import Problem, TableError
from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import read_labels, read_recordings
from birdcore.sources.soundscapes import soundscape_problems
from birdcore.stages import catalog
from birdcore.store.artifact import Artifact
from birdcore.store.store import Store


def made(data: Path, store: Store) -> Artifact:
    return store.make(catalog.step(scan(data, store)), catalog.run)


def problems(artifact: Artifact) -> list[Problem]:
    rows = pd.read_parquet(artifact / "problems.parquet").to_dict("records")
    return [Problem(**{str(k): v for k, v in row.items()}) for row in rows]


def rewrite(data: Path, **columns: Any) -> pd.DataFrame:
    """train.csv with other columns; None takes one away."""
    train = pd.read_csv(data / "train.csv", dtype=str, keep_default_na=False)
    for column, values in columns.items():
        if values is None:
            train = train.drop(columns=column)
        else:
            train[column] = values
    train.to_csv(data / "train.csv", index=False)
    return train


def test_real_recordings_are_catalogued_without_problems(shared_data: Path, store: Store) -> None:
    data = shared_data / "birdclef-mini"
    artifact = made(data, store)
    assert artifact.metrics == {
        "recordings": 148,
        "usable": 148,
        "species": 26,
        "species_with_recordings": 26,
        "problems": 0,
    }
    assert soundscape_problems(scan(data, store)) == []
    recordings = read_recordings(artifact)
    one = recordings.loc["train_audio/amered/XC551413.ogg"]
    assert (one["primary_label"], one["rating"], one["usable"]) == ("amered", 3.5, True)
    sample = pd.read_csv(data / "sample_submission.csv", nrows=0)
    assert list(read_labels(artifact)) == list(sample.columns[1:])


def test_a_clean_folder_has_no_problems(data: Path, store: Store) -> None:
    artifact = made(data, store)
    assert problems(artifact) == []
    recordings = read_recordings(artifact)
    assert recordings["usable"].all()
    secondary = recordings.loc["train_audio/plawhi/DEMO000002.ogg", "secondary_labels"]
    assert list(secondary) == ["swefin"]


def test_everything_that_does_not_fit_is_reported_and_nothing_is_fatal(
    data: Path, store: Store
) -> None:
    train = rewrite(data)
    names = train["filename"].tolist()
    audio = data / "train_audio"
    (audio / names[0]).unlink()  # line 2: a row without a file
    (audio / "swefin" / "XC9.ogg").write_bytes(b"a file without a row")
    shutil.copy(audio / names[1], audio / "swefin" / "copy.ogg")  # content there twice
    train.loc[4, "primary_label"] = "nobody"  # line 6
    train.loc[5, "secondary_labels"] = "['who', 'plawhi', 'what']"  # line 7
    train.loc[len(train)] = train.loc[3]  # line 11: a file name there twice
    copied = train.loc[3].copy()
    copied["filename"] = "swefin/copy.ogg"
    train.loc[len(train)] = copied  # line 12
    train.loc[2, "rating"] = "fine"  # line 4
    train = train[train["primary_label"] != "ratrob"]  # lines 8 to 10: a species without any
    train.to_csv(data / "train.csv", index=False)

    artifact = made(data, store)

    assert sorted(problems(artifact)) == sorted(
        [
            Problem("not a number", "train.csv:4", "rating 'fine'"),
            Problem("row without a file", "train.csv:2", f"train_audio/{names[0]}"),
            Problem("unknown label", "train.csv:6", "nobody"),
            Problem("unknown label", "train.csv:7", "what"),
            Problem("unknown label", "train.csv:7", "who"),
            Problem("file name there twice", "train.csv:8", f"train_audio/{names[3]}"),
            Problem("file without a row", "train_audio/swefin/XC9.ogg", ""),
            *[Problem("file without a row", f"train_audio/{name}", "") for name in names[6:9]],
            Problem(
                "content there twice",
                "train_audio/swefin/copy.ogg",
                f"the same as train_audio/{names[1]}",
            ),
            Problem("species without a recording", "taxonomy", "ratrob"),
        ]
    )
    recordings = read_recordings(artifact)
    assert recordings.index.is_unique
    usable = set(recordings.index[recordings["usable"]])
    assert usable == {f"train_audio/{names[i]}" for i in (1, 2, 3, 5)}
    assert list(recordings.loc[f"train_audio/{names[5]}", "secondary_labels"]) == ["plawhi"]
    assert len(read_labels(artifact)) == 3  # the species without a recording is still a class


def test_a_copy_is_used_once_where_only_one_has_a_known_label(data: Path, store: Store) -> None:
    train = rewrite(data)
    first, second = train["filename"][0], train["filename"][1]
    shutil.copy(data / "train_audio" / first, data / "train_audio" / second)
    train.loc[0, "primary_label"] = "nobody"
    train.to_csv(data / "train.csv", index=False)
    usable = read_recordings(made(data, store))["usable"]
    assert not usable[f"train_audio/{first}"]
    assert usable[f"train_audio/{second}"]


def test_numeric_labels_stay_text(data: Path, store: Store) -> None:
    for name in ("train.csv", "taxonomy.csv", "sample_submission.csv"):
        path = data / name
        path.write_text(path.read_text().replace("plawhi", "41663"))
    (data / "train_audio" / "plawhi").rename(data / "train_audio" / "41663")
    artifact = made(data, store)
    assert problems(artifact) == []
    assert "41663" in read_labels(artifact)
    recordings = read_recordings(artifact)
    assert (recordings["primary_label"] == "41663").sum() == 3


def test_optional_columns_may_be_missing_and_others_there(data: Path, store: Store) -> None:
    rewrite(data, secondary_labels=None, author=None, rating=None, latitude=None, weather="fair")
    (data / "taxonomy.csv").write_text("primary_label\nplawhi\nswefin\nratrob\n")
    artifact = made(data, store)
    assert problems(artifact) == []
    recordings = read_recordings(artifact)
    assert recordings["usable"].all()
    assert (recordings["author"] == "").all()
    assert recordings["rating"].isna().all()


def test_a_class_that_only_the_submission_knows_is_a_class(data: Path, store: Store) -> None:
    sample = pd.read_csv(data / "sample_submission.csv").assign(newone=0.5)
    sample.to_csv(data / "sample_submission.csv", index=False)
    artifact = made(data, store)
    assert read_labels(artifact)[-1] == "newone"
    assert problems(artifact) == [Problem("species without a recording", "taxonomy", "newone")]


def test_a_soundscape_changes_no_catalogue(data: Path, store: Store) -> None:
    before = catalog.step(scan(data, store))
    (data / "test_soundscapes" / "new.ogg").write_bytes(b"new")
    (data / "train_soundscapes" / "new.ogg").write_bytes(b"new")
    sample = data / "sample_submission.csv"
    sample.write_text(sample.read_text() + "new_5" + ",0.5" * 3 + "\n")
    assert catalog.step(scan(data, store)).key == before.key
    (data / "train_audio" / "new.ogg").write_bytes(b"new")
    assert catalog.step(scan(data, store)).key != before.key


def test_soundscapes_that_do_not_fit_are_told(data: Path, store: Store) -> None:
    source = scan(data, store)
    assert soundscape_problems(source) == []
    scape, other = source.audio["test_soundscapes"]
    (data / scape.path).unlink()
    shutil.copy(data / other.path, data / "train_soundscapes" / "leak.ogg")
    again = scan(data, store)
    assert soundscape_problems(again) == [
        Problem("rows without a soundscape", "sample_submission.csv", Path(scape.path).stem),
        Problem(
            "test recording in the training data",
            other.path,
            "the same as train_soundscapes/leak.ogg",
        ),
    ]
    assert soundscape_problems(replace(again, subsets=source.subsets)) == []


def test_a_row_whose_file_is_there_and_passed_over_says_so(data: Path, store: Store) -> None:
    train = rewrite(data)
    names = train["filename"].tolist()
    audio = data / "train_audio"
    (audio / names[0]).rename(audio / "plawhi" / "one.sound")
    train.loc[0, "filename"] = "plawhi/one.sound"
    (audio / ".kept").mkdir()
    (audio / names[1]).rename(audio / ".kept" / "two.ogg")
    train.loc[1, "filename"] = ".kept/two.ogg"
    (audio / names[2]).rename(audio / names[2].replace(".ogg", ".OGG"))
    train.to_csv(data / "train.csv", index=False)
    source = scan(data, store)
    found = problems(store.make(catalog.step(source), catalog.run))
    assert found == list(source.table_problems)
    unused = "row whose file is passed over"
    assert found[:3] == [
        Problem(unused, "train.csv:2", "train_audio/plawhi/one.sound: suffix of no known audio"),
        Problem(unused, "train.csv:3", "train_audio/.kept/two.ogg: hidden folder"),
        Problem(
            "row without a file",
            "train.csv:4",
            f"train_audio/{names[2]}; there is train_audio/{names[2].replace('.ogg', '.OGG')}",
        ),
    ]
    assert {(p.problem, p.where) for p in source.problems} == {
        ("suffix of no known audio", "train_audio/plawhi/one.sound"),
        ("hidden folder", "train_audio/.kept"),
    }


def test_what_is_passed_over_and_no_row_names_changes_no_catalogue(
    data: Path, store: Store
) -> None:
    before = catalog.step(scan(data, store)).key
    (data / "train_audio" / "notes.wps").touch()
    assert catalog.step(scan(data, store)).key == before


def test_rows_and_files_find_each_other_in_either_form(data: Path, store: Store) -> None:
    train = rewrite(data)
    audio = data / "train_audio"
    for at, (of_row, of_file) in enumerate((("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD"))):
        name = f"plawhi/Ö{at}.ogg"
        (audio / train["filename"][at]).rename(audio / unicodedata.normalize(of_file, name))
        train.loc[at, "filename"] = unicodedata.normalize(of_row, name)
    train.to_csv(data / "train.csv", index=False)
    artifact = made(data, store)
    assert problems(artifact) == []
    recordings = read_recordings(artifact)
    assert recordings["usable"].all()
    assert "train_audio/plawhi/Ö0.ogg" in recordings.index


def test_a_placeholder_and_soundscapes_of_one_name_are_told(data: Path, store: Store) -> None:
    sample, tests = data / "sample_submission.csv", data / "test_soundscapes"
    header = sample.read_text().splitlines()[0]
    sample.write_text(f"{header}\nBC2026_Test_0001_5{',0' * header.count(',')}\n")
    (tests / "b").mkdir()
    one = sorted(tests.glob("*.ogg"))[0]
    shutil.copy(one, tests / "b" / one.name)
    found = soundscape_problems(scan(data, store))
    assert found == [
        Problem(
            "rows of no soundscape that is there",
            "sample_submission.csv",
            "the rows are those of the 3 soundscapes in test_soundscapes",
        ),
        Problem(
            "name of two soundscapes",
            f"test_soundscapes/b/{one.name}",
            f"its rows are called b/{one.stem}_…",
        ),
    ]
    sample.write_text(f"{header}\n{one.stem}_5{',0' * header.count(',')}\n")
    with pytest.raises(TableError, match=f"{one.name} and test_soundscapes/b/{one.name}"):
        soundscape_problems(scan(data, store))


def test_an_empty_folder_of_soundscapes_is_told(data: Path, store: Store) -> None:
    shutil.rmtree(data / "test_soundscapes")
    (data / "test_soundscapes").mkdir()
    (data / "test_soundscapes" / "readme.txt").write_text("filled when it is scored")
    assert [p.problem for p in soundscape_problems(scan(data, store))] == [
        "no test soundscape",
        "rows of no soundscape that is there",
    ]
