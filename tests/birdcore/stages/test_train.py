"""Training on a few seconds of noise: what is kept, what is never seen, going on after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from birdcore.config import Round
from birdcore.stages import train
from birdcore.stages.training_process import step_to_json
from birdcore.store import job
from birdcore.store import store as store_module
from birdcore.store.artifact import Artifact, Step
from birdcore.store.files import CHECKPOINTS
from birdcore.store.store import Store
from birdcore.training import epoch
from birdcore.training.checkpoint import DAMAGED
from birdcore.training.records import FILE, read_attribution, read_history

CLASSES = ("a", "b", "c")
NAMES = [f"train_audio/{label}{at}.wav" for label in CLASSES for at in range(4)]
ALTERNATE = {name: at % 2 for at, name in enumerate(NAMES)}
EVERYWHERE = dict.fromkeys(NAMES, -1)
"""Nothing to validate, so that the latest weights are kept."""
Weights: TypeAlias = dict[str, torch.Tensor]
MadeStep: TypeAlias = Callable[..., Step]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums of floats depend on how many threads share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def training(store: Store, mel_of: Any, publish: Any) -> MadeStep:
    """A training on twelve recordings of three classes, held out by `folds` (fold 0)."""
    rng = np.random.default_rng(0)
    hz = dict(zip(CLASSES, (1000, 3000, 8000), strict=True))
    time = np.arange(48_000) / 32_000
    waveforms = {
        Path(name).stem: (
            np.sin(2 * np.pi * hz[Path(name).stem[0]] * time) + rng.normal(size=48_000)
        ).astype(np.float32)
        for name in NAMES
    }
    mel = mel_of(waveforms, "train_audio").ref
    recordings = pd.DataFrame(
        {
            "recording": NAMES,
            "primary_label": [Path(name).stem[0] for name in NAMES],
            "secondary_labels": [[] for _ in NAMES],
            "author": [f"author of {name}" for name in NAMES],
            "rating": [np.nan, 0.0, *[2.0 + at for at in range(len(NAMES) - 2)]],
            **dict.fromkeys(("license", "url", "scientific_name", "common_name"), "said"),
        }
    )
    species = pd.DataFrame({"label": list(CLASSES)})
    catalog = publish("catalog", {"recordings.parquet": recordings, "species.parquet": species})

    def make(folds: Mapping[str, int] = ALTERNATE, start: Any = None, **settings: Any) -> Step:
        folded = publish(
            "folds", {"folds.parquet": pd.DataFrame({"recording": NAMES, "fold": folds.values()})}
        )
        chosen = {"epochs": 3, "batch": 3, "crop_s": 0.5, "learning_rate": 1e-2} | settings
        if start is not None:
            chosen["init_from"] = "before"
        one = Round(name="one", backbones=("test_resnet",), **chosen)
        inputs = {"catalog": (catalog,), "folds": (folded,), "mel": (mel,)}
        if start is not None:
            inputs["start"] = (start,)
        return train.step(one, "test_resnet", 0, 0, inputs)

    return make


def run(store: Store, step: Step, **options: Any) -> Artifact:
    return store.make(step, train.run, resumes=True, **options)


def checkpoints(store: Store, step: Step) -> list[Path]:
    return sorted(store.work(step.ref).glob(CHECKPOINTS))


def weights(artifact: Artifact) -> Weights:
    return load_file(artifact / "model.safetensors")


def distance(one: Weights, other: Weights) -> float:
    """How far apart the parameters of two models are, running means and counts left out."""
    names = [n for n in one if n.endswith(("weight", "bias"))]
    assert names
    return sum(float((one[n] - other[n]).abs().sum()) for n in names)


def part(of: Weights, backbone: bool) -> Weights:
    return {n: v for n, v in of.items() if n.startswith("backbone.") == backbone}


def rows(artifact: Artifact) -> list[dict[str, Any]]:
    """The history without what the clock says."""
    return [
        {k: v for k, v in row.items() if k != "seconds"} for row in read_history(artifact.folder)
    ]


def test_recordings_rated_below_the_least_are_not_trained_on_and_0_is_no_rating(
    training: MadeStep, store: Store
) -> None:
    every = {"epochs": 1}
    assert run(store, training(EVERYWHERE, **every)).metrics["trained_on"] == 12
    assert run(store, training(EVERYWHERE, min_rating=4.0, **every)).metrics["trained_on"] == 10
    held = run(store, training(ALTERNATE, min_rating=4.0, **every)).metrics["held_out"]
    assert held == 6  # what a model is validated on is as it was
    unrated_held_out = dict.fromkeys(NAMES[:2], 0) | dict.fromkeys(NAMES[2:], -1)
    with pytest.raises(ValueError, match="min_rating = 99 leave no recording"):
        run(store, training(unrated_held_out, min_rating=99.0))


def test_recordings_rated_below_the_least_do_not_choose_the_best_epoch(
    training: MadeStep, store: Store
) -> None:
    """Of fold 0 one has no rating, and the others 2, 4, 6, 8 and 10."""
    made = run(store, training(ALTERNATE, epochs=1, validate_min_rating=5.0))
    assert made.metrics["trained_on"] == 6
    assert made.metrics["held_out"] == 4
    names = {NAMES[0], *NAMES[6::2]}
    assert {*pd.read_parquet(made / "held_out.parquet")["recording"]} == names
    badly_rated = dict.fromkeys(NAMES[:6], 1) | dict.fromkeys(NAMES[6:], 0)
    badly = training(badly_rated, epochs=1, validate_min_rating=99.0)
    with pytest.raises(ValueError, match="= 99 leaves no recording of fold 0 to choose"):
        run(store, badly)


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_to_the_same_weights(training: MadeStep, store: Store) -> None:
    step = training(EVERYWHERE, ema=0.9, dropout=0.2, clip_gradient=1.0)
    undisturbed = Store(store.root.with_name("undisturbed"))
    shutil.copytree(store.root, undisturbed.root, dirs_exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "birdcore.stages.training_process", str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(step_to_json(step) + "\n")
        process.stdin.flush()
        said = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    assert said["done"] == 1
    assert checkpoints(store, step)

    resumed, whole = run(store, step), run(undisturbed, step)
    assert resumed.metrics["resumed_at"] >= 1
    assert whole.metrics["resumed_at"] == 0
    assert (resumed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
    assert rows(resumed) == rows(whole)
    assert [row["epoch"] for row in rows(resumed)] == [0, 1, 2]
    assert not list(resumed.folder.glob(f"*{CHECKPOINTS}*"))


def stop_after(epochs: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, text: str) -> None:
        if done == epochs:
            raise Killed

    return progress


def dies(*_: object) -> None:
    raise Killed


def dies_at(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, store: Store, step: Step
) -> None:
    """A training that is killed where this function is called, after its last epoch."""
    monkeypatch.setattr(module, name, dies)
    with pytest.raises(Killed):
        run(store, step)
    monkeypatch.undo()


def test_a_training_that_dies_before_its_manifest_goes_on_from_its_last_epoch(
    training: MadeStep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = training(EVERYWHERE)
    dies_at(monkeypatch, job, "write_manifest", store, step)
    assert len(read_history(store.work(step.ref))) == 3  # all files are there
    resumed = run(store, step)
    assert resumed.metrics["resumed_at"] == 3
    assert not list(resumed.folder.glob("*checkpoint*"))
    finished = weights(resumed)
    assert distance(weights(run(store, step, refresh=True)), finished) == 0


@pytest.mark.parametrize("name", ["checkpoint_files", "publish"])
def test_a_finished_training_that_nobody_published_is_published_without_its_checkpoints(
    training: MadeStep, store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    step = training(EVERYWHERE)
    dies_at(monkeypatch, store_module, name, store, step)
    assert bool(checkpoints(store, step)) == (name == "checkpoint_files")
    left = {path.name for path in store.work(step.ref).iterdir()}
    left -= {path.name for path in checkpoints(store, step)}
    artifact = store.make(step, dies, resumes=True)  # type: ignore[arg-type]
    assert {path.name for path in artifact.folder.iterdir()} == left


@pytest.mark.parametrize(("after", "ema"), [(1, 0.9), (3, 0.0)])
def test_training_resumes_after_any_epoch(
    training: MadeStep, store: Store, after: int, ema: float
) -> None:
    step = training(EVERYWHERE, ema=ema, precision="float32")
    with pytest.raises(Killed):
        run(store, step, progress=stop_after(after))
    resumed = run(store, step)
    assert resumed.metrics["resumed_at"] == after
    resumed_rows, resumed_weights = rows(resumed), weights(resumed)
    again = run(store, step, refresh=True)
    assert again.metrics["resumed_at"] == 0
    assert rows(again) == resumed_rows
    assert distance(weights(again), resumed_weights) == 0


def test_the_best_epoch_is_remembered_over_a_kill(
    training: MadeStep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.5, 0.4])
    monkeypatch.setattr(epoch, "held_out_auc", lambda *_: next(scores))
    step = training()
    with pytest.raises(Killed):
        run(store, step, progress=stop_after(1))
    saved = torch.load(checkpoints(store, step)[-1])
    best = saved["best"][0]["weights"]
    artifact = run(store, step)
    assert artifact.metrics["auc"] == 0.9
    assert all(torch.equal(value, best[name]) for name, value in weights(artifact).items())


def test_damaged_checkpoint_is_set_aside_and_training_resumes_from_the_one_before(
    training: MadeStep, store: Store
) -> None:
    step = training(EVERYWHERE, ema=0.9)
    with pytest.raises(Killed):
        run(store, step, progress=stop_after(2))
    first, last = checkpoints(store, step)
    last.write_bytes(last.read_bytes()[:-1])
    said: list[str] = []

    def look(done: int, total: int, text: str) -> None:
        said.append(text)
        assert last.with_name(last.name + DAMAGED).exists()
        assert first.exists() or done > 1

    resumed = run(store, step, progress=look)
    assert resumed.metrics["resumed_at"] == 1
    assert said[0] == f"set aside {last.name}: damaged, or of another training"
    assert not list(resumed.folder.glob("*checkpoint*"))
    whole = weights(resumed)
    assert distance(weights(run(store, step, refresh=True)), whole) == 0


def test_where_no_checkpoint_is_whole_the_training_starts_anew(
    training: MadeStep, store: Store
) -> None:
    step = training(EVERYWHERE)
    with pytest.raises(Killed):
        run(store, step, progress=stop_after(2))
    for path in checkpoints(store, step):
        path.write_bytes(b"")
    resumed = run(store, step)
    assert resumed.metrics["resumed_at"] == 0
    kept = weights(resumed)
    assert distance(weights(run(store, step, refresh=True)), kept) == 0


@pytest.mark.parametrize("other", [{"epochs": 5}, {"frequency_channel": True}])
def test_checkpoint_of_another_training_is_not_resumed(
    training: MadeStep, store: Store, other: dict[str, Any]
) -> None:
    step, stranger = training(EVERYWHERE), training(EVERYWHERE, **other)
    with pytest.raises(Killed):
        run(store, stranger, progress=stop_after(2))
    work = store.work(step.ref)
    work.mkdir(parents=True)
    for path in checkpoints(store, stranger):
        shutil.copy(path, work)
    resumed = run(store, step)
    assert resumed.metrics["resumed_at"] == 0
    kept = weights(resumed)
    assert distance(weights(run(store, step, refresh=True)), kept) == 0


def test_two_checkpoints_are_kept(training: MadeStep, store: Store) -> None:
    step = training(EVERYWHERE, epochs=4)
    with pytest.raises(Killed):
        run(store, step, progress=stop_after(4))
    assert [path.name.split("-")[1] for path in checkpoints(store, step)] == ["00003", "00004"]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_best_epoch_by_auc_is_kept(
    training: MadeStep, store: Store, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    scores = iter([0.5, 0.9, 0.4])
    seen: list[Weights] = []

    def auc(model: torch.nn.Module, *_: object) -> float:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(epoch, "held_out_auc", auc)
    artifact = run(store, training(ema=ema))
    assert artifact.metrics["auc"] == 0.9
    assert [row["auc"] for row in rows(artifact)] == [0.5, 0.9, 0.4]
    kept = weights(artifact)
    assert all(torch.equal(kept[name], value) for name, value in seen[1].items())
    assert distance(kept, seen[2]) > 0


def test_it_is_validated_every_so_many_epochs_and_at_the_end(
    training: MadeStep, store: Store
) -> None:
    scored = [row["auc"] is not None for row in rows(run(store, training(validate_every=2)))]
    assert scored == [False, True, True]


def test_a_warm_start_takes_the_weights_of_the_earlier_round(
    training: MadeStep, store: Store, model_of: Any
) -> None:
    start = model_of(seed=5)
    still = {"epochs": 1, "learning_rate": 1e-12, "min_lr": 0.0, "weight_decay": 0.0}
    before = weights(store.get(start))
    assert distance(weights(run(store, training(start=start, **still))), before) < 1e-3
    assert distance(weights(run(store, training(**still))), before) > 1


def test_the_rate_begins_anew_where_a_round_asks_for_it(training: MadeStep, store: Store) -> None:
    """Two cycles of two epochs: at the end of each the rate is the final one."""
    settings = {"epochs": 4, "restart_every": 2, "min_lr": 1e-5, "warmup": 0.0}
    rates = [row["learning_rate"] for row in rows(run(store, training(**settings)))]
    assert rates[0] > 1e-3
    assert rates[1] == pytest.approx(1e-5)
    assert rates[2:] == rates[:2]


def test_a_start_may_take_the_backbone_alone(
    training: MadeStep, store: Store, model_of: Any
) -> None:
    start = model_of(seed=5)
    still = {"epochs": 1, "learning_rate": 1e-12, "min_lr": 0.0, "weight_decay": 0.0}
    before = weights(store.get(start))
    after = weights(run(store, training(start=start, init_weights="backbone", **still)))
    assert distance(part(after, True), part(before, True)) < 1e-3
    assert distance(part(after, False), part(before, False)) > 0.1


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "classes"},
        {"crops": "overlapping", "loud_crops": 0.0},
        {"mixup": {"probability": 1.0, "labels": "losses"}},
        {"average_top_k": 2},
        {"restart_every": 2, "loss": "cross_entropy"},
    ],
)
def test_it_trains_and_resumes_as_a_round_asks(
    training: MadeStep, store: Store, settings: dict[str, Any]
) -> None:
    step = training(**settings)
    with pytest.raises(Killed):
        run(store, step, progress=stop_after(2))
    resumed = weights(run(store, step))
    shutil.rmtree(store.path(step.ref))
    assert distance(weights(run(store, step)), resumed) == 0


def test_from_a_model_of_other_classes_a_start_takes_the_backbone_only(
    training: MadeStep, store: Store, model_of: Any
) -> None:
    start = model_of(seed=5, classes=("x", "y"))
    still = {"epochs": 1, "learning_rate": 1e-12, "min_lr": 0.0, "weight_decay": 0.0}
    before = weights(store.get(start))
    started, alone = (
        weights(run(store, training(start=origin, **still))) for origin in (start, None)
    )

    assert distance(part(started, True), part(before, True)) < 1e-3
    assert distance(part(alone, True), part(before, True)) > 1
    assert distance(part(started, False), part(alone, False)) < 1e-3


def test_the_list_of_who_was_learnt_from_goes_on_with_the_weights(
    training: MadeStep, store: Store, model_of: Any
) -> None:
    start = model_of(seed=5, classes=("x", "y"), learnt=("recordings/XC2.mp3", NAMES[1]))
    first = run(store, training(epochs=1, start=start))
    credits = read_attribution(first / FILE)
    held_out = set(pd.read_parquet(first / "held_out.parquet")["recording"])
    assert held_out == {name for name, fold in ALTERNATE.items() if fold == 0}
    own = sorted(set(NAMES) - held_out)
    assert credits["recording"].tolist() == ["recordings/XC2.mp3", *own]
    assert credits["author"].tolist() == ["", *(f"author of {name}" for name in own)]
    second = run(store, training(epochs=1, start=first.ref))
    pd.testing.assert_frame_equal(read_attribution(second / FILE), credits)


def test_an_average_of_the_weights_lags_behind_them(
    training: MadeStep, store: Store, model_of: Any
) -> None:
    start = model_of(seed=5)
    before = weights(store.get(start))
    raw = weights(run(store, training(EVERYWHERE, start=start)))
    average = weights(run(store, training(EVERYWHERE, start=start, ema=0.99)))
    assert 0 < distance(average, before) < distance(raw, before)


def test_a_class_that_is_not_held_out_is_left_out_of_the_score(
    training: MadeStep, store: Store
) -> None:
    folds = {name: -1 if "/c" in name else fold for name, fold in ALTERNATE.items()}
    artifact = run(store, training(folds, epochs=1))
    held_out = pd.read_parquet(artifact / "held_out.parquet")
    targets = np.stack(held_out["targets"].to_list())
    probabilities = np.stack(held_out["probabilities"].to_list())
    assert sorted(held_out["recording"]) == [n for n in NAMES if folds[n] == 0]
    expected = np.mean([roc_auc_score(targets[:, k], probabilities[:, k]) for k in (0, 1)])
    assert artifact.metrics["auc"] == pytest.approx(expected)


def test_without_held_out_recordings_the_latest_weights_are_kept(
    training: MadeStep, store: Store
) -> None:
    artifact = run(store, training(EVERYWHERE))
    assert artifact.metrics["auc"] is None
    assert artifact.metrics["trained_on"] == len(NAMES)
    assert [row["auc"] for row in rows(artifact)] == [None] * 3
    assert pd.read_parquet(artifact / "held_out.parquet").empty


def test_a_fold_that_holds_everything_out_is_refused(training: MadeStep, store: Store) -> None:
    with pytest.raises(
        ValueError, match="fold 0 and min_rating = 0 leave no recording to train on"
    ):
        run(store, training(dict.fromkeys(NAMES, 0)))


def test_held_out_recordings_never_train(
    training: MadeStep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: set[str] = set()
    draw = epoch.make_batch

    def spy(data: Any, rows: torch.Tensor, *rest: Any) -> Any:
        drawn.update(data.clips.names[row] for row in rows.tolist())
        return draw(data, rows, *rest)

    monkeypatch.setattr(epoch, "make_batch", spy)
    artifact = run(store, training())
    held_out = set(pd.read_parquet(artifact / "held_out.parquet")["recording"])
    assert held_out == {name for name, fold in ALTERNATE.items() if fold == 0}
    assert drawn == set(NAMES) - held_out
