"""Submissions of 2021 and 2022: yes and no in their own rows, and the threshold between them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from birdcore.config import AfterPrediction, Predict
from birdcore.sources.asked_rows import AskedRows
from birdcore.sources.source import Source, SourceFile, Subset
from birdcore.sources.tables import Tables, read_tables
from birdcore.stages import submission
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store

MadeModel = Callable[..., Ref]
LABELS = ("acafly", "rucwar")
SPECIES = pd.DataFrame({"label": LABELS}).assign(
    class_name="Aves", scientific_name="", inat_taxon_id=""
)
SOUNDSCAPES = {
    "birds": "test_soundscapes/7019_COR_20190904.ogg",
    "target": "test_soundscapes/soundscape_1.ogg",
}
BIRDS = "row_id,birds\n7019_COR_10,nocall\n7019_COR_5,nocall\n9_LOST_5,nocall\n"
TARGET = """\
row_id,target
soundscape_1_rucwar_5,False
soundscape_1_acafly_10,False
soundscape_1_acafly_5,False
soundscape_1_unkown_5,False
soundscape_1_rucwar_10,False
soundscape_9_rucwar_5,False
"""


class Year:
    """A folder that asks for yes and no, and its submissions."""

    def __init__(self, root: Path, store: Store, publish: Callable[..., Ref]) -> None:
        self.root, self.store, self.publish = root, store, publish

    def make(
        self,
        form: str,
        sample: str = "",
        models: Sequence[Ref] = (),
        how: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Artifact:
        """A submission of two segments: both classes in the first, at .8 and .3; none after."""
        (self.root / "train_metadata.csv").write_text("primary_label,filename\nacafly,a.ogg\n")
        asked = AskedRows(form=form)  # type: ignore[arg-type]
        if sample:
            (self.root / "sample_submission.csv").write_text(sample)
            asked = read_tables(self.root).asked
        name = SOUNDSCAPES[form]
        heard = pd.DataFrame(
            {
                "recording": name,
                "backbone": "test_resnet",
                "end": [5, 10],
                "probabilities": [np.float32([0.8, 0.3]), np.float32([0.1, 0.05])],
            }
        )
        source = Source(
            "birdclef",
            self.root,
            (Subset("test_soundscapes", "test", (SourceFile(name, 0, ""),)),),
            {"sample_submission.csv": str(hash(sample))} if sample else {},
            Tables(pd.DataFrame(), pd.DataFrame(), LABELS, asked.segments, asked=asked),
        )
        after = AfterPrediction.model_validate(settings.pop("after", {}))
        step = submission.step(
            Predict(**settings),
            source,
            self.publish("catalog", {"species.parquet": SPECIES}),
            self.publish(
                "ensemble",
                {"weights.json": {"weights": {"one/test_resnet": 1.0}, **(how or {})}},
            ),
            {"one": (self.publish("predict", {"predictions.parquet": heard}),)},
            {"one": tuple(models)},
            after,
        )
        return self.store.make(step, submission.run)


@pytest.fixture
def year(tmp_path: Path, store: Store, publish: Callable[..., Ref]) -> Year:
    return Year(tmp_path, store, publish)


def written(made: Artifact) -> dict[str, Any]:
    table = pd.read_csv(made / "submission.csv", index_col="row_id")
    return dict(table.iloc[:, 0])


def held_out(names: Sequence[str], probabilities: Sequence[Sequence[float]]) -> pd.DataFrame:
    """What a model held out: the first half has the first class, the second half none."""
    targets = [[float(at < len(names) / 2), 0.0] for at in range(len(names))]
    return pd.DataFrame(
        {"recording": names, "targets": targets, "probabilities": list(probabilities)}
    )


def test_2021_lists_the_birds_of_a_row(year: Year) -> None:
    made = year.make("birds", BIRDS, threshold=0.25)
    assert written(made) == {
        "7019_COR_10": "nocall",
        "7019_COR_5": "acafly rucwar",
        "9_LOST_5": "nocall",  # of what is not there, nothing is said to be
    }
    assert made.metrics["threshold"] == 0.25
    assert made.metrics["threshold_from"] == "the recipe"
    assert (made.metrics["yes"], made.metrics["unheard"]) == (2, 1)


def test_2022_says_yes_or_no_of_each_class(year: Year) -> None:
    made = year.make("target", TARGET, threshold=0.25)
    assert written(made) == {
        "soundscape_1_rucwar_5": True,
        "soundscape_1_acafly_10": False,
        "soundscape_1_acafly_5": True,
        "soundscape_1_unkown_5": False,
        "soundscape_1_rucwar_10": False,
        "soundscape_9_rucwar_5": False,
    }
    assert (made / "submission.csv").read_text().startswith("row_id,target\nsoundscape_1_rucwar_5,")


@pytest.mark.parametrize("form", ["birds", "target"])
def test_without_rows_that_decide_all_segments_are_there(year: Year, form: str) -> None:
    rows = written(year.make(form, threshold=0.5))
    expected = {
        "birds": {"7019_COR_5": "acafly", "7019_COR_10": "nocall"},
        "target": {
            "soundscape_1_acafly_5": True,
            "soundscape_1_rucwar_5": False,
            "soundscape_1_acafly_10": False,
            "soundscape_1_rucwar_10": False,
        },
    }
    assert rows == expected[form]


def test_what_was_decided_from_lies_beside_it(year: Year) -> None:
    made = year.make("birds", BIRDS, threshold=0.25)
    for name in ("probabilities.csv", "rounds/one.csv"):
        table = pd.read_csv(made / name, index_col="row_id")
        np.testing.assert_allclose(table.loc["7019_COR_5"], [0.8, 0.3], rtol=1e-6)


def test_a_threshold_is_of_probabilities_where_ranks_are_blended(year: Year) -> None:
    made = year.make("birds", BIRDS, how={"blend": "rank"}, threshold=0.9)
    assert set(written(made).values()) == {"nocall"}  # the highest rank would be 1
    table = pd.read_csv(made / "probabilities.csv", index_col="row_id")
    assert table.loc["7019_COR_5", "acafly"] == 1


@pytest.mark.parametrize("form", ["birds", "target"])
def test_the_threshold_is_that_of_held_out_windows(
    year: Year, model_of: MadeModel, form: str
) -> None:
    windows = [f"a.ogg#t={at},{at + 5}" for at in range(0, 20, 5)]
    likely = [[0.24, 0.02], [0.22, 0.02], [0.02, 0.02], [0.04, 0.02]]
    # Clips are no windows: what is held out of them counts where there are no windows.
    table = held_out([*windows, "b.ogg"], [*likely, [0.99, 0.99]]).iloc[[0, 1, 2, 3, 4]]
    table.at[1, "targets"] = [1.0, 0.0]
    model = model_of(classes=LABELS, held_out=table)
    made = year.make(form, {"birds": BIRDS, "target": TARGET}[form], [model])
    assert made.metrics["threshold_from"] == "4 held-out windows"
    assert 0.04 < made.metrics["threshold"] <= 0.22  # type: ignore[operator]
    clips = model_of(1, classes=LABELS, held_out=table.assign(recording=list("abcde")))
    made = year.make(form, {"birds": BIRDS, "target": TARGET}[form], [clips])
    assert made.metrics["threshold_from"] == "5 held-out clips"


def test_where_nothing_is_held_out_it_is_a_half(year: Year, model_of: MadeModel) -> None:
    none = model_of(classes=LABELS, held_out=held_out([], []))
    made = year.make("birds", BIRDS, [none])
    assert made.metrics["threshold"] == 0.5
    assert "no recording is held out" in str(made.metrics["threshold_from"])
    silent = held_out(["a.ogg", "b.ogg"], [[0.1, 0.1], [0.1, 0.1]])
    silent["targets"] = [[0.0, 0.0], [0.0, 0.0]]
    made = year.make("birds", BIRDS, [model_of(1, classes=LABELS, held_out=silent)])
    assert made.metrics["threshold_from"] == "2 held-out clips tell none"


def test_a_threshold_is_not_that_of_probabilities_before_they_are_changed(year: Year) -> None:
    after = {"times_file_maximum": 1}
    with pytest.raises(ValueError, match=r"predict\.threshold = \"held-out\".*after_prediction"):
        year.make("birds", BIRDS, after=after)
    changed = written(year.make("birds", BIRDS, threshold=0.25, after=after))
    assert changed["7019_COR_5"] == "acafly"  # .64, and .09 of the other
