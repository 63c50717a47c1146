import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from birdcore.config import Recipe, read_recipe
from birdcore.stages.report import settings_of


class Reader(HTMLParser):
    """What a page names, and whether its tags fit."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.named: list[str] = []
        self.ids: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.named += [given[key] for key in ("src", "href") if key in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


VARIANTS: dict[str, dict[str, Any]] = {
    "without truth": {"truth": False},
    "one round and no soundscapes to learn from": {
        "truth": False, "unlabelled": False, "rounds": 1
    },
    "nothing to judge by": {"truth": False, "held_out": False},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_run_has_a_page(make_report: Callable[..., Any], variant: str) -> None:
    run = make_report(**VARIANTS[variant])
    page = Reader(run.html)
    assert "None: every recording could be read and used." in run.html
    assert ("confusion" in page.ids) == (variant != "nothing to judge by")
    if variant != "nothing to judge by":
        assert "macro ROC-AUC of <strong>" in run.html
        assert "labelled test soundscapes" not in run.html
    else:
        assert "Nothing here is evaluated" in run.html


def test_calibration_is_of_held_out_recordings_or_says_why_not(
    make_report: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    html = make_report(truth=False).html
    assert "As predicted: off by" in html
    assert "What calibration does can't be measured: they have 9 cases of a species" in html
    assert "Calibrated: off by" not in html
    assert "Submission, on labelled test soundscapes: off by" in make_report(broken=3).html
    assert "nothing to calibrate them on" in make_report(held_out=False).html
    monkeypatch.setattr("birdcore.report.calibration.LEAST_POSITIVES", 3)
    html = make_report(truth=False, species=3).html  # other arguments: made anew
    before, after = re.findall(r"(?:As predicted|Calibrated): off by ([\d.]+)", html)
    assert float(after) < float(before)
    assert "fitted on the held-out recordings of the other folds" in html


def test_all_that_a_page_names_is_beside_it_or_in_the_runs_results(made: Any) -> None:
    page = Reader(made.html)
    inside = {name for name in page.named if name.startswith(("data:", "#"))}
    beside = set(page.named) - inside
    results = {name for name in beside if name.startswith("../")}
    assert results >= {"../MODEL_CARD.md", "../ATTRIBUTION.csv", "../rejected.csv", "../cuts.csv"}
    sounds = {f"sounds/{path.name}" for path in (made.page / "sounds").iterdir()}
    assert beside - results == sounds
    assert {name[1:] for name in inside if name.startswith("#")} <= set(page.ids)
    assert "http" not in re.sub(r"http://www\.w3\.org\S+", "", made.html.partition("<main>")[0])
    assert len(made.html) < 1_000_000


def test_it_says_what_it_is_evaluated_on(made: Any) -> None:
    assert made.page.metrics["evaluated_on"] == "labelled test soundscapes"
    assert "6 rows of 5 s of labelled test soundscapes" in made.html
    assert made.html.count("not a readable sound file") == 3
    assert "Cut by hand" in made.html
    assert "<b>first</b>" in made.html


def test_names_of_species_are_no_markup(make_report: Callable[..., Any]) -> None:
    html = make_report(species=5).html
    assert html.count("<script>") == 1
    assert "&lt;script&gt;alert(" in html


NUMBERS = [
    f"mel.{number}"
    for number in ("n_fft=1024", "hop_length=1024", "n_mels=32", "f_min=500", "f_max=15000")
]


def test_names_places_and_the_split_of_work_do_not_matter(tiny_recipe: Any) -> None:
    def key(*settings: str) -> dict[str, Any]:
        return settings_of(read_recipe(tiny_recipe, list(settings)))

    own = key()
    assert key("name=other", "shards.recordings=9") == own
    assert key("mel.preset=config_96", *NUMBERS) == own
    assert key("folds.train=[0,1]", 'ensemble.members=["first","second"]') == own
    assert key('xeno_canto.species=["Turdus merula"]') == own  # no round reads it
    assert key("seed=1") != own
    assert key("round.0.epochs=3") != own


NUMBERS = [
    f"mel.{n}" for n in ("n_fft=1024", "hop_length=1024", "n_mels=32", "f_min=500", "f_max=15000")
]


def test_a_file_of_weights_is_known_by_its_name(tiny_recipe: Any) -> None:
    recipe = read_recipe(tiny_recipe)
    fields = recipe.round[0].model_dump() | {
        "weights": "/home/ann/w.safetensors",
        "pretrained": True,
    }
    told = Recipe.model_validate(recipe.model_dump() | {"round": [fields]})
    assert settings_of(told)["round"]["first"]["weights"] == "w.safetensors"
