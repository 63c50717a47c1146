"""Stage `report`: one page of a run, `index.html`, with a few short sounds beside it.

The page needs no network and no server. It depends only on the recipe, the artifacts and the
recordings that the step names. Besides `score` it is the only stage that reads the truth.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birdcore.config import Recipe, defaults_of
from birdcore.config.external_teacher import EXTERNAL_TEACHER, ExternalTeacher
from birdcore.features.front_end import default_settings, to_settings
from birdcore.sources.source import Source
from birdcore.stages.table import STAGES
from birdcore.store.artifact import Artifact, Metrics, Ref, Step
from birdcore.store.files import write_text
from birdcore.store.store import Job
from birdcore.teachers.class_mapping import Mappings, described

VERSION = 2
ROUND = "round "
CLEAN = "clean "

NOT_IN_RESULTS = {"site", "per_second", "search_age_h", "per_page"}
"""How an archive is queried; its answer is in the collection."""
FILES = {"file", "labels"}
"""Where an external teacher's are."""
NOTHING: Mapping[str, Mappings] = {}


def step(
    recipe: Recipe,
    source: Source,
    catalogs: Sequence[Ref],
    cleaned: Mapping[str, tuple[Ref, ...]],
    mels: Mapping[str, tuple[Ref, ...]],
    rounds: Mapping[str, tuple[Ref, ...]],
    weights: Ref,
    submission: Ref,
    score: Step | None,
    mapped: Mapping[str, Mappings] = NOTHING,
) -> Step:
    """The page of a run.

    Args:
        catalogs: the competition's and, where a round reads it, the collection's.
        rounds: models of every round.
        score: the step that scores, where there is truth.
        mapped: how species are found among the classes of each external teacher.
    """
    subset = source.subset("labelled" if score is None else "test").name
    inputs: dict[str, tuple[Ref, ...]] = {"catalogs": tuple(catalogs)}
    inputs |= {f"{CLEAN}{kind}": refs for kind, refs in cleaned.items()}
    inputs |= {"mel": mels[subset]}
    inputs |= {f"{ROUND}{name}": models for name, models in rounds.items()}
    inputs |= {"weights": (weights,), "submission": (submission,)}
    files = {f.path: f.sha256 for f in source.subset("labelled").files}
    if score is not None:
        inputs["score"] = (score.ref,)
        files |= {f.path: f.sha256 for f in source.subset("test").files} | dict(score.files)
    root, defaults, config = str(source.root), defaults_of_settings(recipe), settings_of(recipe)
    for name, found in mapped.items():
        if found:
            _table_of(config["external_teacher"], name)["mapped"] = described(found)
    return Step("report", VERSION, "report", config, inputs, files, root, defaults)


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """The settings that decide results: no names, paths or sizes of shards."""
    settings = recipe.model_dump(
        mode="json",
        exclude={"name", "shards", "source", "xeno_canto", "inaturalist", "external_teacher"},
    )
    if recipe.source:
        told = {"weight", "classes", "annotations"}
        settings["source"] = {
            Path(one.path).name: one.model_dump(mode="json", include=told) for one in recipe.source
        }
    settings["mel"] = to_settings(recipe.mel.spec()) | {"dtype": recipe.mel.dtype}
    settings["folds"]["train"] = list(recipe.folds.trained)
    settings["ensemble"]["members"] = list(recipe.members)
    for criteria in recipe.collects:
        settings[criteria.table] = criteria.model_dump(mode="json", exclude=NOT_IN_RESULTS)
    if recipe.external_teacher:
        settings["external_teacher"] = _only_or_all(
            {one.name: _settings_of_teacher(one) for one in recipe.external_teacher}
        )
    for one in settings["round"]:
        if one["weights"] is not None:
            one["weights"] = Path(one["weights"]).name
    settings["round"] = {one.pop("name"): one for one in settings["round"]}
    return settings


def _settings_of_teacher(table: ExternalTeacher) -> dict[str, Any]:
    settings = table.model_dump(mode="json", exclude={"name", *FILES})
    for place in ("teacher", "synonyms"):
        settings[place] = settings[place] and Path(settings[place]).name
    return settings


def _only_or_all(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The table of the only external teacher, if it has no name of its own, or those of all by
    name."""
    return tables.get(EXTERNAL_TEACHER, tables)


def _table_of(tables: dict[str, Any], name: str) -> dict[str, Any]:
    """The table of one external teacher in what `_only_or_all` gives."""
    table: dict[str, Any] = tables if name == EXTERNAL_TEACHER else tables[name]
    return table


def defaults_of_settings(recipe: Recipe) -> dict[str, Any]:
    """The defaults of `settings_of`; that there is an external teacher is never a default."""
    defaults = defaults_of(recipe)
    spec, dtype = default_settings(recipe.mel.spec()), defaults_of(recipe.mel)["dtype"]
    defaults["mel"] = spec | {"dtype": dtype}
    defaults["round"] = {one.name: defaults_of(one) for one in recipe.round}
    for criteria in recipe.archives:
        defaults[criteria.table] = defaults_of(criteria)
    defaults["external_teacher"] = _only_or_all(
        {
            one.name: {
                key: value
                for key, value in defaults_of(one).items()
                if key not in {"name", "teacher", *FILES}
            }
            for one in recipe.external_teacher
        }
    )
    return defaults


def run(job: Job) -> Metrics:
    from birdcore.report import sections
    from birdcore.report.evaluation import evaluate_on_held_out, evaluate_on_soundscapes
    from birdcore.report.examples import cut_examples, evaluation_examples
    from birdcore.report.inputs import ReportInputs, ReportSettings
    from birdcore.report.page import render

    settings = ReportSettings.parse(job.config)
    inputs = ReportInputs(
        settings=settings,
        store=job.store,
        stages=STAGES,
        catalogs=job.inputs("catalogs"),
        cleaned=_inputs_after(job, CLEAN),
        mels=job.inputs("mel"),
        models=_inputs_after(job, ROUND),
        ensemble=job.input("weights"),
        submission=job.input("submission"),
        score=job.input("score") if job.step.inputs.get("score") else None,
        readable=tuple(job.step.files),
        locate=job.source,
        folder=job.folder,
    )
    if inputs.score is None:
        models = {n: inputs.models[n] for n in settings.members if n in inputs.models}
        evaluation = evaluate_on_held_out(inputs.ensemble, models)
    else:
        evaluated = {name for shard in inputs.evaluated for name in shard.manifest.sources}
        soundscapes = [name for name in inputs.readable if name in evaluated]
        truth = job.source(settings.truth)
        evaluation = evaluate_on_soundscapes(
            inputs.submission, inputs.score, truth, soundscapes, settings.segment_s
        )
    job.progress(0, 3, "examples")
    examples = {} if evaluation is None else evaluation_examples(inputs, evaluation)
    job.progress(1, 3, "cuts")
    cuts = cut_examples(inputs)
    job.progress(2, 3, "page")
    text = render(
        sections.rounds_section(inputs)
        | sections.species_section(inputs, evaluation)
        | sections.quality_section(evaluation)
        | sections.calibration_section(inputs, evaluation)
        | sections.data_section(inputs)
        | sections.settings_section(settings)
        | {"examples": examples, "cuts": cuts}
    )
    write_text(job.folder / "index.html", text)
    return {
        "evaluated_on": None if evaluation is None else evaluation.on,
        "pieces": 0 if evaluation is None else len(evaluation.recordings),
        "pictures": len(cuts) + sum(map(len, examples.values())),
        "megabytes": round(len(text.encode()) / 1e6, 2),
    }


def _inputs_after(job: Job, prefix: str) -> dict[str, list[Artifact]]:
    """The inputs whose names start with `prefix`, by the rest of their names."""
    return {
        name.removeprefix(prefix): job.inputs(name)
        for name in job.step.inputs
        if name.startswith(prefix)
    }
