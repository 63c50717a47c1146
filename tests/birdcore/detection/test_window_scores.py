"""Submissions beside Raven's tables, and detections beside the labelled windows of 2026."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from birdcore.config import Annotations
from birdcore.detection.table import Species
from birdcore.detection.window_scores import label_windows, score_windows
from birdcore.metrics import NothingToScore, class_auc, read_truth

NAMED = Annotations(label="Noisy Pitta", complete=True)
SELECTIONS = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n"


def submission(path: Path, stems: list[str], *classes: str) -> Path:
    rows = [f"{stem}_{end}" + ",0.5" * len(classes) for stem in stems for end in (5, 10, 15)]
    path.write_text("\n".join([",".join(("row_id", *classes)), *rows]) + "\n")
    return path


def test_windows_have_the_labels_of_real_selections(shared_data: Path, tmp_path: Path) -> None:
    pitta = shared_data / "field" / "raven-noisy-pitta"
    tables = sorted((pitta / "pos").rglob("*.selections.txt"))
    stems = [table.name.partition(".Table")[0].removesuffix(".") for table in tables]
    both, _ = label_windows(
        submission(tmp_path / "given.csv", [*stems, "other"], "noisy pitta", "wren"), pitta, NAMED
    )
    assert both.classes_missing == ()
    assert {row.rpartition("_")[0] for row in both.row_ids} == set(stems)
    for table, stem in zip(tables, stems, strict=True):
        cells = pd.read_csv(table, sep="\t")
        for end in (5, 10, 15):
            heard = (cells["Begin Time (s)"] < end) & (cells["End Time (s)"] > end - 5)
            at = both.row_ids.index(f"{stem}_{end}")
            assert both.truth[at].tolist() == [heard.any(), False]


def test_what_is_uncertain_or_another_class(tmp_path: Path) -> None:
    table = tmp_path / "a.Table.1.selections.txt"
    table.write_text(
        SELECTIONS + "1\tSpectrogram 1\t1\t2\twren\n2\tSpectrogram 1\t6\t7\t\n"
        "3\tSpectrogram 1\t11\t12\towl\n"
    )
    given = submission(tmp_path / "given.csv", ["a", "b"], "Wren")
    both, _ = label_windows(given, table, Annotations(complete=True))
    assert both.row_ids == ("a_5", "a_15")  # somebody heard something from 6 to 7 s
    assert both.truth.tolist() == [[True], [False]]
    assert both.classes_missing == ("owl",)
    with pytest.raises(NothingToScore, match="has labels of no recording whose rows"):
        label_windows(submission(given, ["c"], "wren"), table, Annotations(complete=True))
    given.write_text("row_id,wren\na_end,1\n")
    with pytest.raises(ValueError, match=r"given\.csv: a row_id does not end in a second"):
        label_windows(given, table, Annotations(complete=True))
    note = tmp_path / "note.csv"
    note.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"note\.csv:1: no true labels"):
        label_windows(submission(given, ["a"], "wren"), note, Annotations(complete=True))


def test_detections_score_the_windows_of_2026(shared_data: Path, detected: Any) -> None:
    path = shared_data / "birdclef-2026-mini" / "train_soundscapes_labels.csv"
    true = read_truth(path)
    names = pd.read_csv(path.with_name("taxonomy.csv"), dtype=str).set_index("primary_label")
    species = [Species(each, names.loc[each, "scientific_name"], each) for each in true.labels]
    events: dict[str, list[tuple[float, float, int, float]]] = {"site/unlabelled.ogg": []}
    for row, marks in zip(true.row_ids, true.scores, strict=True):
        stem, _, end = row.rpartition("_")
        events.setdefault(f"site/{stem}.ogg", []).extend(
            (float(end) - 4, float(end) - 1, int(label), 0.5 + 0.4 * (label % 2))
            for label in np.flatnonzero(marks)
        )
    out = detected(events, species=species, rtypes=("csv",), seconds=60.0)
    both = score_windows(out, path)
    assert both.row_ids == true.row_ids
    np.testing.assert_array_equal(both.scores > 0, both.truth)
    assert np.nanmin(class_auc(both.truth, both.scores)) == 1
    gone = f"site/{true.row_ids[0].rpartition('_')[0]}.ogg"
    left = {name: found for name, found in events.items() if name != gone}
    both = score_windows(detected(left, species=species, folder="less"), path)
    assert both.rows_missing[0] == true.row_ids[0]
    twice = detected(left | {"b.ogg": [], "a/b.ogg": []}, species=species, folder="twice")
    assert score_windows(twice, path).row_ids == both.row_ids  # no row is called b
    first = next(iter(left.keys() - {"site/unlabelled.ogg"}))
    twice = detected(left | {first.replace("site", "other"): []}, species=species, folder="two")
    with pytest.raises(ValueError, match=r"rows .* may be of"):
        score_windows(twice, path)


def test_rows_may_be_named_with_folders(tmp_path: Path, detected: Any) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("row_id,comchi1\na/x_5,1\nb/x_5,0\n")
    out = detected({"a/x.wav": [(1.0, 2.0, 1, 0.75)], "b/x.wav": []})
    assert score_windows(out, truth).scores.tolist() == [[0.75], [0.0]]


def test_selections_without_codes_are_of_scientific_names(tmp_path: Path) -> None:
    cells = {
        "Selection": "1", "View": "Spectrogram 1", "Channel": "1", "Begin Time (s)": "63",
        "End Time (s)": "66", "Common Name": "Eurasian Blackbird", "Scientific Name":
        "Turdus merula", "Species Code": "", "Confidence": "0.5", "Begin Path": "/far/x.wav",
        "File Offset (s)": "3",
    }  # fmt: skip
    table = tmp_path / "BirdNET_SelectionTable.txt"
    table.write_text("\n".join("\t".join(row) for row in (cells.keys(), cells.values())) + "\n")
    truth = tmp_path / "truth.csv"
    truth.write_text("row_id,birds\nx_5,eurbla\nx_10,nocall\n")
    wide = tmp_path / "wide.csv"
    wide.write_text("row_id,Turdus merula\nx_5,1\nx_10,0\n")
    assert score_windows(table, wide).scores.tolist() == [[0.5], [0.5]]
    assert score_windows(table, truth).scores.tolist() == [[0.0], [0.0]]  # no name of this class
