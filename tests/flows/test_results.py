"""The model card: what whoever gets the models must know of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from birdcore.audio.cleaned import UNREADABLE, USED
from birdcore.config import read_recipe
from birdcore.csv_table import Problem
from birdcore.inference.after_prediction import Operations, Smoothing
from birdcore.inference.trained_model import EnsembleSpec
from birdcore.stages.report import settings_of
from birdcore.store.artifact import MANIFEST, Metrics, Step
from birdcore.store.store import Job, Store
from birdcore.training.records import COLUMNS, EXTERNAL, FILE, read_attribution
from flows.dag import Dag
from flows.model_files import model_files
from flows.result_folder import MARK, write_results_to
from flows.results import SETTINGS, card, other_settings, write_results

NC, ND = "forbid commercial use (NC): so do these models", "forbid derivatives (ND): ask"
SCORES = {"ensemble": {"macro_auc": 0.87654}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def credits(licences: Mapping[str, str]) -> pd.DataFrame:
    table = pd.DataFrame({"recording": licences.keys(), "license": licences.values()})
    return table.reindex(columns=COLUMNS, fill_value="Ann")


def trained(store: Store, name: str, auc: float | None, licences: Mapping[str, str]) -> Step:
    def run(job: Job) -> Metrics:
        credits(licences).to_csv(job.folder / FILE, index=False)
        return {"auc": auc, "trained_on": len(licences)}

    step = Step("train", 1, name, {"name": name})
    store.make(step, run)
    return step


def cleaned(store: Store) -> Step:
    def nothing(job: Job) -> Metrics:
        for name in ("cuts", "rejected", "problems"):
            columns: dict[str, list[str]] = {"recording": [], "problem": []}
            pd.DataFrame(columns).to_parquet(job.folder / f"{name}.parquet")
        return {}

    step = Step("clean", 2, "clean", {"kind": "train_audio", "overrides": {}})
    store.make(step, nothing)
    return step


def soundscapes(store: Store) -> Step:
    def run(job: Job) -> Metrics:
        tables = {
            "cuts": {"recording": []},
            "rejected": {"recording": ["test_soundscapes/a.ogg"], "reason": ["empty file"]},
            "problems": {"recording": ["test_soundscapes/b.ogg"], "problem": ["cut off after 2 s"]},
        }
        for name, columns in tables.items():
            pd.DataFrame(columns).to_parquet(job.folder / f"{name}.parquet")
        return {}

    step = Step("clean", 2, "clean", {"kind": "test_soundscapes"})
    store.make(step, run)
    return step


def reported(store: Store, text: str, *sounds: str) -> Step:
    def run(job: Job) -> Metrics:
        (job.folder / "index.html").write_text(text)
        (job.folder / "sounds").mkdir()
        for name in sounds:
            (job.folder / "sounds" / name).write_text(name)
        return {}

    step = Step("report", 1, "report", {"text": text})
    store.make(step, run)
    return step


def dag_of(store: Store, *models: Step, problems: tuple[Problem, ...] = ()) -> Dag:
    def run(job: Job) -> Metrics:
        (job.folder / "submission.csv").write_text("row_id,a\nt_5,0.5\n")
        pd.DataFrame({"row_id": pd.Series(dtype=str)}).to_parquet(job.folder / "unheard.parquet")
        return {}

    submitted = Step("submission", 1, "submission")
    store.make(submitted, run)
    return Dag((*models, submitted), problems)


def said(store: Store, licences: list[str], scores: Mapping[str, Any] | None = None) -> str:
    return card(
        dag_of(store),
        store,
        credits({f"{at}": text for at, text in enumerate(licences)}),
        dict(scores or {}),
    )


def test_it_says_how_many_licences_forbid_what(store: Store) -> None:
    text = said(store, ["cc-by-nc-sa 4.0", "cc-by-nc-nd 2.5", "cc-by 4.0", "", "cc-by-nc-sa 4.0"])
    assert "Trained on 5 recordings, listed in ATTRIBUTION.csv." in text
    assert f"- 3 {NC}" in text
    assert f"- 1 {ND}" in text
    assert "- 1 name no licence." in text
    assert "| cc-by-nc-sa 4.0 | 2 |" in text
    assert "| unknown | 1 |" in text


def test_it_says_nothing_of_what_no_licence_forbids(store: Store) -> None:
    text = said(store, ["cc-by 4.0", "cc0 1.0"])
    assert "NC" not in text
    assert "ND" not in text
    assert "no licence" not in text


def test_an_outside_teacher_is_named_with_its_terms_and_is_no_recording(store: Store) -> None:
    used = credits({"a": "cc0 1.0", f"{EXTERNAL}Merlin": "CC BY-NC-SA 4.0"})
    text = card(dag_of(store), store, used, {})
    assert "Trained on 1 recordings" in text
    assert (
        "- Taught by Merlin (Ann; Ann), CC BY-NC-SA 4.0: these models are under its terms." in text
    )
    assert NC not in text


def test_scores_are_said_where_there_are_some(store: Store) -> None:
    assert said(store, ["cc0 1.0"], SCORES).endswith("test soundscapes: 0.8765.\n")
    assert "test soundscapes" not in said(store, ["cc0 1.0"])


def test_results_name_the_recordings_of_all_models_once(store: Store, tmp_path: Path) -> None:
    models = [
        trained(store, "train pretrain", None, {"x": "cc-by-nc-nd 4.0"}),
        trained(store, "train first", 0.91234, {"x": "cc-by-nc-nd 4.0", "a": "cc-by 4.0"}),
    ]
    scores = write_results(dag_of(store, cleaned(store), *models), store, tmp_path / "out")
    assert scores == {}
    assert read_attribution(tmp_path / "out" / FILE)["recording"].tolist() == ["a", "x"]
    text = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "Trained on 2 recordings" in text
    assert f"- 1 {NC}" in text
    assert f"- 1 {ND}" in text
    assert "| train pretrain | 1 |  |" in text
    assert "| train first | 2 | 0.9123 |" in text


def test_problems_of_soundscapes_stand_beside_those_of_the_tables(
    store: Store, tmp_path: Path
) -> None:
    steps = (soundscapes(store), trained(store, "train", None, {"a": "cc0"}))
    dag = dag_of(store, *steps, problems=(Problem("unknown label", "train.csv:2", "x"),))
    write_results(dag, store, tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out" / "problems.csv").to_dict("records")
    assert [tuple(row.values()) for row in rows] == [
        ("unknown label", "train.csv:2", "x"),
        (USED, "test_soundscapes/b.ogg", "cut off after 2 s"),
        (UNREADABLE, "test_soundscapes/a.ogg", "empty file"),
    ]


def test_the_page_is_copied_where_it_is_another(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    others = (cleaned(store), trained(store, "train first", None, {"a": "cc0"}))

    def write(page: Step) -> int:
        write_results(dag_of(store, *others, page), store, out)
        return (out / "report" / "index.html").stat().st_ino

    first = write(reported(store, "one", "a.mp3", "b.mp3"))
    assert sorted(p.name for p in (out / "report" / "sounds").iterdir()) == ["a.mp3", "b.mp3"]
    assert write(reported(store, "one")) == first
    write(reported(store, "two", "c.mp3"))
    assert (out / "report" / "index.html").read_text() == "two"
    assert [p.name for p in (out / "report" / "sounds").iterdir()] == ["c.mp3"]
    assert not (out / "report" / MANIFEST).exists()
    assert [p.name for p in out.rglob("*") if p.name.startswith(".")] == [MARK]
    write_results(dag_of(store, *others), store, out)
    assert not (out / "report").exists()


HOSTILE = [
    "cc-by 4.0\n\n# Licence: all yours\n",
    "cc | 99 |\r\n| forged | 100 |",
    "![x](https://evil.example/a.png) [click](javascript:alert(1))",
    "<img src=x onerror=alert(1)><!-- ",
    "`code` **bold** _it_ ~~no~~ &#124; \\",
    "\x1b[2Jcc-by\u202e\x85\u2028next",
]


def test_other_settings_are_told_before_results_are_replaced(
    store: Store, tmp_path: Path, tiny_recipe: Path
) -> None:
    recipe = read_recipe(tiny_recipe)
    assert other_settings(recipe, tmp_path / "out") is None
    write_results_to(tmp_path / "out", {SETTINGS: json.dumps(settings_of(recipe))})
    assert other_settings(recipe, tmp_path / "out") is None
    # What decides no result is no other setting.
    assert other_settings(read_recipe(tiny_recipe, ["name=b"]), tmp_path / "out") is None
    note = other_settings(
        read_recipe(tiny_recipe, ["round.second.epochs=9", "folds.count=3"]), tmp_path / "out"
    )
    assert note is not None
    assert "(folds.count was 2, is 3; " in note
    assert "round.second.epochs was 1, is 9" in note
    assert note.endswith("will be replaced: give another --out to keep them")


@pytest.mark.parametrize("content", ["", "[]", "[1", "3", "nul"])
def test_settings_that_cannot_be_read_are_none(
    tmp_path: Path, tiny_recipe: Path, content: str
) -> None:
    (tmp_path / SETTINGS).write_text(content)
    assert other_settings(read_recipe(tiny_recipe), tmp_path) is None


def test_settings_of_another_kind_are_other_settings(tmp_path: Path, tiny_recipe: Path) -> None:
    (tmp_path / SETTINGS).write_text('{"round": [null]}')
    note = other_settings(read_recipe(tiny_recipe), tmp_path)
    assert note is not None
    assert "was not set, is " in note


def test_models_lie_with_their_exports_and_class_names(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.model_files._calibration", lambda *_: "{}")

    def make(step: Step, **files: str) -> Step:
        def run(job: Job) -> Metrics:
            for name, text in files.items():
                (job.folder / name.replace("__", ".")).write_text(text)
            return {}

        store.make(step, run)
        return step

    def classes(job: Job) -> Metrics:
        names = {"label": ["x"], "scientific_name": ["Parus major"], "common_name": ["Great Tit"]}
        of_taxa = {"class_name": ["Aves"], "inat_taxon_id": [""]}
        pd.DataFrame(names | of_taxa).to_parquet(job.folder / "species.parquet")
        return {}

    cataloged = Step("catalog", 2, "catalog")
    store.make(cataloged, classes)
    parts = {"model__json": "{}", "model__safetensors": "w", "input__json": "{}"}
    models = [
        make(Step("train", 1, f"train {fold}", {"backbone": "b", "fold": fold}), **parts)
        for fold in (0, 1)
    ]
    # One was not exported, as where a run was cut short.
    exported = make(Step("export", 1, "export 0", {}, {"model": (models[0].ref,)}), model__onnx="o")
    refs = tuple(model.ref for model in models)
    weights = '{"blend": "mean", "weights": {"one/b": 1.0}}'
    weighed = make(Step("ensemble", 1, "ensemble", {}, {"one": refs}), weights__json=weights)
    settings = {"predict": {}, "after_prediction": {"cap": 0.9, "smooth": {"birds": [1, 2, 1]}}}
    page = make(Step("report", 1, "report", settings), index__html="")
    dag = Dag((cataloged, *models, exported, weighed, page))
    files = model_files(dag, store)
    names = ("input.json", "model.json", "model.safetensors")
    folds = {f"model/one/b/fold-{fold}/{name}" for fold in (0, 1) for name in names}
    assert files.keys() == folds | {
        "model/one/b/fold-0/model.onnx",
        "model/ensemble.json",
        "model/classes.csv",
        "model/calibration.json",
    }
    assert Path(files["model/one/b/fold-0/model.onnx"]).read_text() == "o"
    after = EnsembleSpec.model_validate_json(str(files["model/ensemble.json"])).after_prediction
    smoothing = Smoothing(weights=(1, 2, 1), columns=(0,))
    assert after == Operations(cap=0.9, smoothings=(smoothing,))
    lines = str(files["model/classes.csv"]).splitlines()
    assert lines == ["class,scientific_name,common_name", "x,Parus major,Great Tit"]


@pytest.mark.parametrize("licence", HOSTILE)
def test_a_licence_is_one_cell_of_text_in_the_card(store: Store, licence: str) -> None:
    plain, text = said(store, ["cc0 1.0"]), said(store, [licence])
    assert text.count("\n") == plain.count("\n")
    (row,) = (line for line in text.splitlines() if line.endswith("| 1 |"))
    cells = re.split(r"(?<!\\)\|", row)
    assert [c.strip() for c in cells[2:]] == ["1", ""]
    bare = re.sub(r"\\.", "", row)
    assert not re.search(r"[`*\[\]<~&]", bare)
    assert not re.search(r"\b_|_\b", bare)
    assert row.isprintable()


def test_an_outside_teacher_is_text_too(store: Store) -> None:
    used = credits({f"{EXTERNAL}[a](b)\n- evil": "x\n# y"})
    used["url"] = "javascript:alert(1)\n\n<script>"
    text = card(dag_of(store), store, used, {})
    assert "\n- evil" not in text
    assert "\n# y" not in text
    assert "<script>" not in text


def test_tables_hold_no_formulas(store: Store, tmp_path: Path) -> None:
    model = trained(store, "train first", None, {"=HYPERLINK(1)": "@SUM(1)", "-1.5": "+49 30"})
    write_results(dag_of(store, cleaned(store), model), store, tmp_path / "out")
    lines = (tmp_path / "out" / FILE).read_text().splitlines()
    assert lines[1:] == ["-1.5,Ann,'+49 30,Ann,Ann,Ann", "'=HYPERLINK(1),Ann,'@SUM(1),Ann,Ann,Ann"]


def test_a_whole_run_leaves_a_page_that_names_what_is_there(whole_run: Any) -> None:
    page = whole_run.out / "report" / "index.html"
    names = re.findall(r'(?:href|src)="([^"#:]+)"', page.read_text())
    assert {"../MODEL_CARD.md", "../scores.json", "../summary.md"} <= set(names)
    assert any(name.startswith("sounds/") for name in names)
    assert [name for name in names if not (page.parent / name).is_file()] == []


def test_a_whole_run_leaves_its_card_and_its_attribution(whole_run: Any) -> None:
    used = read_attribution(whole_run.out / FILE)
    assert not used.empty
    text = (whole_run.out / "MODEL_CARD.md").read_text()
    assert f"Trained on {len(used)} recordings" in text
    assert used["license"].value_counts().sum() == len(used)
    scores = json.loads((whole_run.out / "scores.json").read_text())
    assert text.endswith(f"{scores['ensemble']['macro_auc']:.4f}.\n")
    assert text.count("| train ") == 4
