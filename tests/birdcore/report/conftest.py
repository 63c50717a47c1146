"""Reports of runs whose models are invented: real recordings, cleaning, mels and scores."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdcore.audio.trim import Override
from birdcore.config import Ensemble, Recipe, read_recipe
from birdcore.models.sed import ModelSpec
from birdcore.sources.birdclef import scan
from birdcore.sources.catalog import read_labels, read_recordings
from birdcore.sources.shards import shards
from birdcore.sources.source import Source
from birdcore.stages import catalog, clean, ensemble, mel, report, score, submission
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.store import Job, Store
from birdcore.training.records import COLUMNS, FILE

BACKBONE = "test_resnet"
ROW_S, LENGTH_S = 5, 15
CUT = "train_audio/plawhi/DEMO000000.ogg"
HOSTILE = "<script>alert('!')</script>"


@dataclass(frozen=True)
class Made:
    """A report with what it was made from."""

    page: Artifact
    step: Step
    submission: Artifact
    score: Artifact | None
    weights: Artifact
    rounds: dict[str, list[Artifact]]
    catalog: Artifact
    data: Path

    @property
    def html(self) -> str:
        return (self.page / "index.html").read_text()


@pytest.fixture(scope="session")
def make_report(
    tiny_data: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Made]:
    """Make the report of a run on `tiny_data`, with more species, without truth, and so on."""

    @cache
    def make(
        *,
        species: int = 3,
        truth: bool = True,
        unlabelled: bool = True,
        rounds: int = 2,
        broken: int = 0,
        held_out: bool = True,
    ) -> Made:
        folder = tmp_path_factory.mktemp("report")
        data = Path(shutil.copytree(tiny_data, folder / "data"))
        _invent(data, species, truth, unlabelled, broken)
        recipe = read_recipe(tiny_recipe)
        if rounds == 1:
            recipe = Recipe.model_validate(recipe.model_dump() | {"round": [recipe.round[0]]})
        return _made(data, Store(folder / "store"), recipe, held_out)

    return make


@pytest.fixture(scope="session")
def made(make_report: Callable[..., Made]) -> Made:
    """Two rounds, truth, and three recordings that can't be read."""
    return make_report(broken=3)


def _invent(data: Path, species: int, truth: bool, unlabelled: bool, broken: int) -> None:
    names = [f"inv{at:04d}" for at in range(species - 3)]
    rng = np.random.default_rng(species)
    taxonomy = pd.read_csv(data / "taxonomy.csv", dtype=str)
    more = {"primary_label": names, "common_name": [f"Invented Warbler {n}" for n in names]}
    more |= {"scientific_name": [f"Avis {HOSTILE} {n}" for n in names]}
    pd.concat([taxonomy, pd.DataFrame(more)]).to_csv(data / "taxonomy.csv", index=False)
    for name in ("sample_submission.csv", "test_soundscapes_labels.csv"):
        table = pd.read_csv(data / name)
        cells = rng.random((len(table), len(names))) < 0.2
        sings = pd.DataFrame(cells.astype(int), table.index, names)
        pd.concat([table, sings], axis=1).to_csv(data / name, index=False)
    train = pd.read_csv(data / "train.csv", dtype=str)
    rows = [
        train.iloc[[0]].assign(filename=f"plawhi/{HOSTILE[8:13]}{n}.ogg") for n in range(broken)
    ]
    for row in rows:
        (data / "train_audio" / row["filename"].item()).write_text("no sound")
    pd.concat([train, *rows]).to_csv(data / "train.csv", index=False)
    if not truth:
        (data / "test_soundscapes_labels.csv").unlink()
    if not unlabelled:
        shutil.rmtree(data / "train_soundscapes")


def _made(data: Path, store: Store, recipe: Recipe, held_out: bool) -> Made:
    source = scan(data, store)
    cataloged = store.make(catalog.step(source), catalog.run)
    cleaned, mels = _heard(source, store, recipe)
    rounds = {
        one.name: [
            _trained(store, cataloged, mels["train_audio"], one.name, fold, held_out)
            for fold in (0, 1)
        ]
        for one in recipe.round
    }
    refs = {name: tuple(model.ref for model in models) for name, models in rounds.items()}
    weighed = store.make(ensemble.step(Ensemble(weights="nnls"), refs), ensemble.run)
    predicted = {
        name: (_predicted(store, source, name, mels["test_soundscapes"]),) for name in rounds
    }
    submitted = store.make(
        submission.step(recipe.predict, source, cataloged.ref, weighed.ref, predicted),
        submission.run,
    )
    scoring = score.step(recipe.score, source, submitted.ref)
    scored = None if scoring is None else store.make(scoring, score.run)
    step = report.step(
        recipe, source, [cataloged.ref], cleaned, mels, refs, weighed.ref, submitted.ref, scoring
    )
    page = store.make(step, report.run)
    return Made(page, step, submitted, scored, weighed, rounds, cataloged, data)


def _heard(
    source: Source, store: Store, recipe: Recipe
) -> tuple[dict[str, tuple[Ref, ...]], dict[str, tuple[Ref, ...]]]:
    cleaned: dict[str, tuple[Ref, ...]] = {}
    mels: dict[str, tuple[Ref, ...]] = {}
    cut = {CUT: (Override("cut", 1.0, 2.5),)}
    for kind, parts in shards(source.subsets, store, 50, keep=True).items():
        own = [
            store.make(clean.step(one, recipe.clean, cut, source.root), clean.run).ref
            for one in parts
        ]
        steps = [
            mel.step(one, before, recipe.mel, recipe.clean, source.root)
            for one, before in zip(parts, own, strict=True)
        ]
        cleaned[kind] = tuple(own)
        mels[kind] = tuple(store.make(step, mel.run).ref for step in steps)
    return cleaned, mels


def _trained(
    store: Store, cataloged: Artifact, mels: Sequence[Ref], name: str, fold: int, held_out: bool
) -> Artifact:
    labels = read_labels(cataloged)
    recordings = read_recordings(cataloged)
    recordings = recordings[recordings["license"] != ""]
    own = recordings.iloc[fold::2] if held_out else recordings.iloc[:0]
    targets = (own["primary_label"].to_numpy()[:, None] == np.array(labels)).astype(np.float32)
    rng = np.random.default_rng([fold, len(name)])
    said = (0.5 * targets + 0.5 * rng.random(targets.shape)).astype(np.float32)
    shape = ModelSpec(backbone=BACKBONE, classes=labels, n_mels=32)

    def run(job: Job) -> Metrics:
        (job.folder / "model.json").write_text(shape.model_dump_json())
        lines = [json.dumps({"loss": 0.7 - 0.1 * at}) for at in range(4)]
        (job.folder / "history.jsonl").write_text("\n".join(lines) + "\n")
        pd.DataFrame(
            {"recording": own["recording"], "targets": list(targets), "probabilities": list(said)}
        ).to_parquet(job.folder / "held_out.parquet", index=False)
        recordings[list(COLUMNS)].to_csv(job.folder / FILE, index=False)
        auc = 0.8 + 0.05 * fold if held_out else None
        return {"auc": auc, "trained_on": 7, "held_out": len(own), "segments": 0}

    inputs = {"catalog": (cataloged.ref,), "mel": tuple(mels)}
    config = {"backbone": BACKBONE, "fold": fold, "round": name, "held_out": held_out}
    return store.make(Step("train", 1, f"train {name} {BACKBONE} fold {fold}", config, inputs), run)


def _predicted(store: Store, source: Source, name: str, mels: Sequence[Ref]) -> Ref:
    rng = np.random.default_rng(len(name))
    rows = [
        {"recording": file.path, "backbone": BACKBONE, "end": end,
         "probabilities": rng.random(len(source.labels)).astype(np.float32)}
        for file in source.audio["test_soundscapes"]
        for end in range(ROW_S, LENGTH_S + 1, ROW_S)
    ]  # fmt: skip

    def run(job: Job) -> Metrics:
        pd.DataFrame(rows).to_parquet(job.folder / "predictions.parquet", index=False)
        return {}

    step = Step("predict", 1, f"predict {name} 0000", {"round": name}, {"mel": tuple(mels)})
    return store.make(step, run).ref
