"""One catalogue of several sources: labels, further classes, and what nobody listened for."""

from dataclasses import replace
from math import inf

import pandas as pd
import pytest

from birdcore.annotations.annotation import EVERY_CLASS, Annotation
from birdcore.sources.annotated import AnnotatedRecordings, annotated_recordings
from birdcore.sources.catalog import Catalog
from birdcore.sources.joined import Further, join
from birdcore.sources.plain_folder import recording_rows

Labels = dict[str, tuple[str, ...]]


def catalog_of(
    labels: Labels, names: dict[str, str], annotated: AnnotatedRecordings | None = None
) -> Catalog:
    """A catalogue of clips with labels, and classes with scientific names."""
    species = pd.DataFrame({"label": list(names), "scientific_name": list(names.values())})
    species = species.assign(common_name="", class_name="", inat_taxon_id="")
    of_others = [] if annotated is None else list(annotated.groups["recording"])
    audio = {name: f"sha {name}" for name in (*labels, *of_others)}
    return Catalog(recording_rows(audio, labels), species, (), {}, annotated)


MAIN = catalog_of({"a/1.wav": ("a",), "b/1.wav": ("b", "a")}, {"b": "Avis bona", "a": "Avis alba"})
OTHER = catalog_of(
    {"o/1.wav": ("a", "new"), "o/2.wav": ("new",), "o/3.wav": ("white", "a")},
    {"a": "Avis atra", "new": "Avis nova", "white": "Avis alba"},
)


def rows(catalog: Catalog) -> dict[str, tuple[str, list[str], bool]]:
    return {
        row.recording: (row.primary_label, list(row.secondary_labels), row.usable)
        for row in catalog.recordings.itertuples()
    }


def test_only_the_data_folders_classes() -> None:
    made = join(MAIN, [Further("o", OTHER)])
    assert list(made.species["label"]) == ["b", "a"]
    assert rows(made) == {
        "a/1.wav": ("a", [], True),
        "b/1.wav": ("b", ["a"], True),
        "o/1.wav": ("", [], False),  # its "a" is another bird
        "o/2.wav": ("", [], False),
        "o/3.wav": ("a", [], True),
    }
    assert [problem.where for problem in made.problems] == ["o: a", "o: new"]
    assert made.metrics["usable_of"] == {"o": 1}


def test_further_classes_come_last_and_have_labels_of_their_own() -> None:
    made = join(MAIN, [Further("o", OTHER, all_classes=True)])
    assert list(made.species["label"]) == ["b", "a", "Avis atra", "new"]
    assert rows(made)["o/1.wav"] == ("Avis atra", ["new"], True)
    assert rows(made)["o/3.wav"] == ("a", ["Avis atra"], True)
    assert not made.problems


def test_a_class_of_one_source_is_that_of_the_next() -> None:
    third = catalog_of({"t/1.wav": ("n",)}, {"n": "avis nova"})
    made = join(MAIN, [Further("o", OTHER, all_classes=True), Further("t", third)])
    assert rows(made)["t/1.wav"] == ("new", [], True)


def test_attribution_has_the_names_of_species() -> None:
    made = join(MAIN, [Further("o", OTHER)]).recordings.set_index("recording")
    assert made.loc["o/3.wav", "scientific_name"] == "Avis alba"
    assert made.loc["o/3.wav", "source"] == "o"


def test_nothing_in_common_is_refused() -> None:
    other = catalog_of({"o/1.wav": ("x",)}, {"x": "Avis nova"})
    with pytest.raises(ValueError, match="source o: none of its species is a class"):
        join(MAIN, [Further("o", other)])
    with pytest.raises(ValueError, match="source o: nothing is heard"):
        join(MAIN, [Further("o", catalog_of({}, {}))])


def heard(name: str, label: str, kind: str = "present") -> Annotation:
    return Annotation(name, 1.0, 2.0, None, None, label, kind, "t:2")  # type: ignore[arg-type]


def test_what_annotators_did_not_know_is_not_absent() -> None:
    events = [heard("o/1.wav", "white"), heard("o/1.wav", "new"), heard("o/3.wav", "white")]
    events.append(heard("o/1.wav", EVERY_CLASS, "uncertain"))
    complete = [("o/1.wav", 0.0, 9.0), ("o/2.wav", 0.0, inf)]
    groups = [(f"o/{n}.wav", f"{n}") for n in (1, 2, 3)]
    annotated = annotated_recordings(events, complete, groups)
    other = catalog_of({}, {"white": "Avis alba", "new": "Avis nova"}, annotated)
    made = join(MAIN, [Further("o", other)]).annotated
    assert made is not None
    found = made.annotations[["recording", "label", "kind", "end_s"]]
    assert sorted(found.itertuples(index=False, name=None)) == [
        ("o/1.wav", EVERY_CLASS, "uncertain", 2.0),
        ("o/1.wav", "a", "present", 2.0),
        ("o/1.wav", "b", "uncertain", inf),  # nobody there knew it
        ("o/3.wav", "a", "present", 2.0),  # was never complete
    ]
    assert list(made.complete["recording"]) == ["o/1.wav", "o/2.wav"]


def test_people_of_one_source_have_votes_beside_another_without() -> None:
    own = annotated_recordings([heard("s.wav", "a")], [("s.wav", 0.0, inf)], [("s.wav", "site")])
    main = catalog_of({"b/1.wav": ("b",)}, {"b": "Avis bona", "a": "Avis alba"}, own)
    events = [replace(heard("o/1.wav", "white"), annotator=name) for name in ("x", "y")]
    complete = [("o/1.wav", 0.0, inf, name) for name in ("x", "y")]
    annotated = annotated_recordings(events, complete, [("o/1.wav", "1")])
    other = catalog_of({}, {"white": "Avis alba"}, annotated)
    made = join(main, [Further("o", other)]).annotated
    assert made is not None
    # Neither of them knew b; of the data folder's recording there is one voice.
    said = [
        sorted(zip(each.annotations["recording"], each.annotations["label"], strict=True))
        for each in made.by_person
    ]
    of_person = [("o/1.wav", "a"), ("o/1.wav", "b")]
    assert said == [[*of_person, ("s.wav", "a")], of_person]
    assert [len(each.complete) for each in made.by_person] == [2, 1]


def test_further_classes_are_unknown_to_the_data_folder() -> None:
    own = annotated_recordings([heard("s.wav", "a")], [("s.wav", 0.0, inf)], [("s.wav", "site")])
    main = catalog_of({"b/1.wav": ("b",)}, {"b": "Avis bona", "a": "Avis alba"}, own)
    made = join(main, [Further("o", OTHER, all_classes=True)]).annotated
    assert made is not None
    unknown = made.annotations[made.annotations["kind"] == "uncertain"]
    assert set(unknown["label"]) == {"Avis atra", "new"}
