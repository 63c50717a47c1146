"""What a probe learns from: clips, windows of annotated recordings, a teacher's soundscapes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from birdcore.annotations.annotation import Annotation, Kind
from birdcore.config.probe import ProbeConfig
from birdcore.sources.annotated import AnnotatedRecordings, annotated_recordings
from birdcore.teachers.external_teacher import Credit
from birdcore.teachers.outputs import TeacherInfo, write_outputs
from birdcore.training.probe import held_out_table, train_probe
from birdcore.training.probe_set import ProbeFiles, ProbeSet, read_probe_set

CLASSES, SPECIES = ("x", "y", "z"), ("Avis x", "Avis y", "Avis z")
KNOWN = SPECIES[:2]
INFO = TeacherInfo(3.0, KNOWN, Credit("Fake", "nobody", "CC0", "", ""))


def write(path: Path, windows: dict[str, int], seed: int) -> Path:
    """Outputs of so many windows, 3 s long, every 1.5 s, for each recording."""
    rng = np.random.default_rng(seed)
    names = [name for name, count in windows.items() for _ in range(count)]
    starts = np.concatenate([np.arange(count) * 1.5 for count in windows.values()])
    embeddings = rng.normal(size=(len(names), 4)).astype(np.float16)
    write_outputs(path, INFO, names, starts, embeddings, rng.random((len(names), 2)).astype("f2"))
    return path


def annotations() -> AnnotatedRecordings:
    """z sounds in the first second of f.wav and of g.wav, which are annotated to the end."""
    names = ("f.wav", "g.wav")
    rows = [Annotation(name, 0.0, 1.0, None, None, "z", "present", "table.csv:2") for name in names]
    complete = [(name, 0.0, 6.0) for name in names]
    return annotated_recordings(rows, complete, [(name, name) for name in names])


@pytest.fixture
def files(tmp_path: Path) -> ProbeFiles:
    recordings = pd.DataFrame(
        {
            "recording": ["a.wav", "b.wav", "c.wav", "f.wav", "g.wav"],
            "primary_label": ["x", "y", "x", None, None],
            "secondary_labels": [["y"], [], [], [], []],
            "rating": [5.0, 1.0, np.nan, np.nan, np.nan],
            "weight": [1.0, 0.5, 1.0, 2.0, 1.0],
        }
    ).set_index("recording", drop=False)
    species = tmp_path / "species.parquet"
    pd.DataFrame({"label": CLASSES, "scientific_name": SPECIES}).to_parquet(species)
    return ProbeFiles(
        classes=CLASSES,
        species=species,
        recordings=recordings,
        folds=pd.Series({"a.wav": 0, "b.wav": 1, "c.wav": 1, "f.wav": 1, "g.wav": 0}),
        clips=[write(tmp_path / "clips", {"a.wav": 2, "b.wav": 1, "c.wav": 5}, 0)],
        annotated=[write(tmp_path / "annotated", {"f.wav": 3, "g.wav": 3}, 1)],
        soundscapes=[write(tmp_path / "soundscapes", {"s.wav": 4}, 2)],
        annotations=annotations(),
    )


def config(**changes: object) -> ProbeConfig:
    said = {"fold": 0, "seed": 0, "hop_s": 1.5, "epochs": 2, "batch": 2, "secondary_weight": 0.25}
    return ProbeConfig.model_validate(said | {"learning_rate": 1e-2} | changes)


def named(data: ProbeSet, rows: torch.Tensor) -> list[str]:
    return [data.names[row] for row in rows.tolist()]


def test_what_is_held_out_does_not_train(files: ProbeFiles) -> None:
    data = read_probe_set(files, config())
    assert named(data, data.clips) == ["b.wav", "c.wav"]
    assert named(data, data.timed) == ["f.wav"]
    assert named(data, data.held_out) == ["a.wav"]
    assert set(named(data, data.segments.rows)) == {"g.wav"}
    assert named(data, data.soundscapes) == ["s.wav"]
    assert set(data.trained_recordings) == {"b.wav", "c.wav", "f.wav"}
    badly_rated = read_probe_set(files, config(min_rating=2.0))
    assert named(badly_rated, badly_rated.clips) == ["c.wav"]
    assert data.weights.tolist() == [1.0, 0.5, 1.0, 2.0, 1.0, 1.0]


def test_windows_have_the_labels_of_annotators_or_of_the_teacher(files: ProbeFiles) -> None:
    data = read_probe_set(files, config())
    outputs = data.predictions.outputs
    first, later, _ = outputs.windows_of(data.timed).tolist()
    assert data.labels[first].tolist() == [0, 0, 1]
    assert data.labels[later].tolist() == [0, 0, 0]
    assert (data.label_weights[[first, later]] == 1).all()
    heard = outputs.windows_of(data.soundscapes)
    assert (data.labels[heard, :2] == outputs.probabilities[heard]).all()
    assert not data.label_weights[heard, 2].any()  # a species that the teacher does not know
    assert not data.label_weights[outputs.windows_of(data.clips)].any()
    assert (data.prior[:, 2] == 0).all()


def verdict(kind: Kind, label: str) -> AnnotatedRecordings:
    """Of f.wav nothing is said but of its first window: a class is there in its first second, or
    nowhere in it, or somebody is not sure."""
    end = 1.0 if kind == "present" else 3.0
    row = Annotation("f.wav", 0.0, end, None, None, label, kind, "verdicts.csv:2")
    return annotated_recordings([row], [], [("f.wav", "f.wav")])


@pytest.mark.parametrize(("kind", "label"), [("present", 1), ("absent", 0)])
def test_what_nobody_has_judged_has_the_labels_of_the_teacher(
    files: ProbeFiles, kind: Kind, label: int
) -> None:
    some = replace(files, annotations=verdict(kind, "y"))
    said = {"annotated": 20.0, "soundscapes": 4.0}
    unknown = read_probe_set(some, config(probe=said))
    filled = read_probe_set(some, config(probe=said | {"unannotated": "teacher"}))
    windows = unknown.predictions.outputs.windows_of(unknown.timed)
    first = windows[0]
    assert unknown.label_weights[windows].count_nonzero() == 1
    assert unknown.labels[first, 1] == filled.labels[first, 1] == label
    assert unknown.label_weights[first, 1] == filled.label_weights[first, 1] == 20
    assert filled.label_weights[windows, 0].tolist() == [4, 4, 4]
    # Half of the second window is judged: where the class is not, it may be in the other half.
    assert filled.label_weights[windows[1:], 1].tolist() == [0 if kind == "absent" else 4, 4]
    assert not filled.label_weights[windows, 2].any()  # a species that the teacher does not know
    of_teacher = filled.predictions.outputs.probabilities[windows]
    assert (filled.labels[windows, 0] == of_teacher[:, 0]).all()
    assert filled.labels[windows[2], 1] == of_teacher[2, 1]


def test_what_somebody_is_unsure_of_has_no_label(files: ProbeFiles) -> None:
    some = replace(files, annotations=verdict("uncertain", "y"))
    data = read_probe_set(some, config(probe={"unannotated": "teacher"}))
    windows = data.predictions.outputs.windows_of(data.timed)
    assert data.label_weights[windows, 0].tolist() == [1, 1, 1]
    assert data.label_weights[windows, 1].tolist() == [0, 0, 1]


@pytest.mark.parametrize("solver", ["logistic", "adam"])
def test_a_weight_of_annotations_draws_the_probe_to_them(files: ProbeFiles, solver: str) -> None:
    """A verdict against what the soundscapes' labels say counts as much as its weight."""
    some = replace(files, annotations=verdict("present", "y"))
    linear = {"solver": solver, "hidden": 0, "pool": "max"}
    found = []
    for weight in (1e-3, 1e3):
        settings = config(
            weight_decay=0.1, epochs=30, repeat=4, learning_rate=0.05,
            probe=linear | {"annotated": weight},
        )  # fmt: skip
        data = read_probe_set(some, settings)
        probe = train_probe(data, CLASSES, settings, lambda done, of, text: None).probe
        window = data.predictions.outputs.windows_of(data.timed)[:1]
        embedding = data.predictions.outputs.embeddings[window].float()
        found.append(float(probe.probabilities(embedding, torch.zeros(1, 3))[0, 1]))
    assert found[1] > found[0] + 0.2


def test_weights_are_as_they_are_said(files: ProbeFiles) -> None:
    data = read_probe_set(files, config(probe={"annotated": 1e6, "soundscapes": 1e-8}))
    windows = data.predictions.outputs.windows_of
    assert (data.label_weights[windows(data.timed)] == 1e6).all()
    assert data.label_weights[windows(data.soundscapes), 0].tolist() == pytest.approx([1e-8] * 4)


def test_crops_are_windows_in_a_row_and_short_recordings_are_repeated(files: ProbeFiles) -> None:
    data = read_probe_set(files, config())
    rows = torch.tensor([0, 1, 2] * 20)
    crops = data.crops(rows, 3, torch.Generator().manual_seed(0))
    assert crops.embeddings.shape == (60, 4, 3)
    assert crops.prior.shape == (60, 3, 3)
    outputs = data.predictions.outputs
    within = crops.windows - outputs.first[rows][:, None]
    assert set(map(tuple, within[0::3].tolist())) == {(0, 1, 0)}
    assert set(map(tuple, within[1::3].tolist())) == {(0, 0, 0)}
    assert set(map(tuple, within[2::3].tolist())) == {(0, 1, 2), (1, 2, 3), (2, 3, 4)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"probe": {"prior": "added", "pool": "mean"}},
        {
            "probe": {"solver": "logistic", "hidden": 0, "pool": "max", "prior": "residual"},
            "weight_decay": 0.1,
        },
        {"annotated": {"train": False}, "ema": 0.9},
    ],
)
def test_a_probe_is_trained_and_tells_what_it_holds_out(
    files: ProbeFiles, changes: dict[str, object]
) -> None:
    settings = config(**changes)
    data = read_probe_set(files, settings)
    trained = train_probe(data, CLASSES, settings, lambda done, of, text: None)
    table = trained.held_out.set_index("recording")
    assert list(table.index) == ["a.wav", "g.wav#t=0,6"]
    assert table.loc["a.wav", "targets"].tolist() == [1, 0.25, 0]
    again = held_out_table(trained.probe, data)
    np.testing.assert_array_equal(
        np.stack(again["probabilities"].to_list()), np.stack(table["probabilities"].to_list())
    )


@pytest.mark.parametrize(
    ("validate_on", "names"),
    [("clips", ["a.wav"]), ("annotated", ["g.wav#t=0,6"]), ("all", ["a.wav", "g.wav#t=0,6"])],
)
def test_what_validates_is_what_the_round_says(
    files: ProbeFiles, validate_on: str, names: list[str]
) -> None:
    settings = config(annotated={"validate_on": validate_on})
    data = read_probe_set(files, settings)
    table = train_probe(data, CLASSES, settings, lambda done, of, text: None).held_out
    assert list(table["recording"]) == names


def test_a_share_of_the_teacher_where_nothing_can_be_scored(files: ProbeFiles) -> None:
    nobody = replace(files, folds=files.folds + 5)
    settings = config(probe={"prior": "added"})
    data = read_probe_set(nobody, settings)
    trained = train_probe(data, CLASSES, settings, lambda done, of, text: None)
    assert (trained.auc, trained.probe.spec.prior) == (None, 0.5)
    assert trained.probe.known[:, 0].tolist() == [True, True, False]


def test_a_share_of_the_teacher_as_it_is_said(files: ProbeFiles) -> None:
    settings = config(probe={"prior": "added", "prior_share": 0.2})
    trained = train_probe(
        read_probe_set(files, settings), CLASSES, settings, lambda done, of, text: None
    )
    assert (trained.probe.spec.own, trained.probe.spec.prior) == (0.8, 0.2)


def test_a_single_window_is_enough(files: ProbeFiles) -> None:
    alone = replace(files, annotated=(), annotations=None, soundscapes=())
    settings = config(fold=9)
    alone = replace(alone, folds=files.folds[["b.wav"]])
    trained = train_probe(
        read_probe_set(alone, settings), CLASSES, settings, lambda done, of, text: None
    )
    assert all(weights.isfinite().all() for weights in trained.probe.state_dict().values())


def test_a_probe_learns_what_is_there(files: ProbeFiles) -> None:
    settings = config(epochs=60, repeat=4, ema=0.0)
    data = read_probe_set(files, settings)
    trained = train_probe(data, CLASSES, settings, lambda done, of, text: None)
    losses = [row["loss"] for row in trained.history]
    assert losses[-1] < 0.5 * losses[0]


def test_annotated_recordings_alone_are_enough(files: ProbeFiles) -> None:
    alone = replace(files, clips=(), soundscapes=(), folds=files.folds[["f.wav", "g.wav"]])
    data = read_probe_set(alone, config())
    trained = train_probe(data, CLASSES, config(), lambda done, of, text: None)
    assert list(trained.held_out["recording"]) == ["g.wav#t=0,6"]
    with pytest.raises(ValueError, match="leave no recording"):
        read_probe_set(alone, config(annotated={"train": False}))
