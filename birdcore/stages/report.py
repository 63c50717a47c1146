"""Stage `report`: one page of a run, `index.html`, with a few short sounds beside it.

The page needs no network and no server. What it says is decided by the recipe, the artifacts and
the recordings that the step names. Beside `score` it is the only stage that reads the truth.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birdcore.config import Recipe, defaults_of
from birdcore.features.scale import Scale
from birdcore.features.spec import MelSpec
from birdcore.report import examples
from birdcore.report.evaluation import Judged, judged_on_held_out, judged_on_soundscapes
from birdcore.report.page import render
from birdcore.report.sections import ladder, origins, quality, settings, species
from birdcore.sources.birdclef import Kind, Source
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.files import write_text
from birdcore.store.store import Job

VERSION = 1
ROUND = "round "
CLEAN = "clean "

NO_MATTER = {"site", "per_second", "search_age_h", "per_page"}
"""How an archive is asked; what it answered is in the collection."""


def step(
    recipe: Recipe,
    source: Source,
    catalogs: Sequence[Ref],
    cleaned: Mapping[Kind, tuple[Ref, ...]],
    mels: Mapping[Kind, tuple[Ref, ...]],
    rounds: Mapping[str, tuple[Ref, ...]],
    weights: Ref,
    submission: Ref,
    score: Step | None,
) -> Step:
    """`catalogs`: the competition's and, where a round reads it, the collection; `rounds`: the
    models of every round; `score`: where there is truth."""
    judged_on: Kind = "train_audio" if score is None else "test_soundscapes"
    inputs: dict[str, tuple[Ref, ...]] = {"catalogs": tuple(catalogs)}
    inputs |= {f"{CLEAN}{kind}": refs for kind, refs in cleaned.items()}
    inputs |= {"mel": mels[judged_on]}
    inputs |= {f"{ROUND}{name}": models for name, models in rounds.items()}
    inputs |= {"weights": (weights,), "submission": (submission,)}
    files = {f.path: f.sha256 for f in source.audio["train_audio"]}
    if score is not None:
        inputs["score"] = (score.ref,)
        files |= {f.path: f.sha256 for f in source.audio["test_soundscapes"]} | dict(score.files)
    root, defaults = str(source.root), defaults_of_settings(recipe)
    return Step("report", VERSION, "report", settings_of(recipe), inputs, files, root, defaults)


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """What a recipe means: without names of its own, places, and how the work is split."""
    meant = recipe.model_dump(
        mode="json", exclude={"name", "shards", "xeno_canto", "external_teacher"}
    )
    meant["mel"] = recipe.mel.spec().model_dump() | {"dtype": recipe.mel.dtype}
    meant["folds"]["train"] = list(recipe.folds.trained)
    meant["ensemble"]["members"] = list(recipe.members)
    if recipe.collects is not None:
        meant["xeno_canto"] = recipe.collects.model_dump(mode="json", exclude=NO_MATTER)
    if recipe.external_teacher is not None:
        meant["external_teacher"] = recipe.external_teacher.model_dump(mode="json")
    for one in meant["round"]:
        if one["weights"] is not None:
            one["weights"] = Path(one["weights"]).name
    meant["round"] = {one.pop("name"): one for one in meant["round"]}
    return meant


def defaults_of_settings(recipe: Recipe) -> dict[str, Any]:
    """Of `settings_of`, those that need not be said; that there is an outside teacher must be."""
    defaults = defaults_of(recipe)
    defaults["mel"] = defaults_of(recipe.mel.spec()) | {"dtype": defaults_of(recipe.mel)["dtype"]}
    defaults["round"] = {one.name: defaults_of(one) for one in recipe.round}
    if recipe.xeno_canto is not None:
        defaults["xeno_canto"] = defaults_of(recipe.xeno_canto)
    if recipe.external_teacher is not None:
        hears = defaults_of(recipe.external_teacher)
        defaults["external_teacher"] = {
            key: value for key, value in hears.items() if key != "teacher"
        }
    return defaults


def run(job: Job) -> Metrics:
    rounds, cleaned = _inputs_after(job, ROUND), _inputs_after(job, CLEAN)
    judged = _judged(job, rounds)
    job.progress(0, 3, "what to look at")
    shown: dict[str, list[examples.Example]] = {}
    if judged is not None:
        kind = "test_soundscapes" if judged.on_soundscapes else "train_audio"
        shown = examples.examples(job, judged, job.inputs("mel"), cleaned[kind])
    job.progress(1, 3, "what was cut")
    spec = MelSpec(**{name: job.config["mel"][name] for name in MelSpec.model_fields})
    cut = examples.cuts(job, cleaned["train_audio"], spec, Scale())
    job.progress(2, 3, "the page")
    says = ladder(job, rounds) | species(job, judged) | quality(judged)
    says |= origins(job, rounds, cleaned) | settings(job) | {"shown": shown, "cuts": cut}
    text = render(says)
    write_text(job.folder / "index.html", text)
    return {
        "judged_on": None if judged is None else judged.on,
        "pieces": 0 if judged is None else len(judged.recordings),
        "pictures": len(cut) + sum(map(len, shown.values())),
        "megabytes": round(len(text.encode()) / 1e6, 2),
    }


def _inputs_after(job: Job, prefix: str) -> dict[str, list[Artifact]]:
    """The inputs whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(prefix): job.inputs(name)
        for name in job.step.inputs
        if name.startswith(prefix)
    }


def _judged(job: Job, rounds: Mapping[str, list[Artifact]]) -> Judged | None:
    if not job.step.inputs.get("score"):
        members = {n: rounds[n] for n in job.config["ensemble"]["members"] if n in rounds}
        return judged_on_held_out(job.input("weights"), members)
    return judged_on_soundscapes(
        job.input("submission"),
        job.input("score"),
        job.source(job.config["score"]["truth"]),
        [name for name in job.step.files if name.startswith("test_soundscapes/")],
        job.config["predict"]["segment_s"],
    )
