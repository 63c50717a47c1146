import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.sources.label_lists import label_list

LABELS = st.lists(st.text(min_size=1, max_size=8).map(str.strip).filter(bool), max_size=4)
WORDS = st.lists(st.from_regex(r"[a-z0-9]{2,7}", fullmatch=True), max_size=6, unique=True).filter(
    lambda words: "nan" not in words and "none" not in words and "null" not in words
)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("houspa, redava", ["houspa", "redava"]),
        ("houspa;redava ; zebdov", ["houspa", "redava", "zebdov"]),
        ("houspa|redava", ["houspa", "redava"]),
        (" houspa\tredava ", ["houspa", "redava"]),
        ("['houspa' 'redava']", ["houspa", "redava"]),
        ("['houspa' 'redava'\n 'zebdov']", ["houspa", "redava", "zebdov"]),
        ("array(['houspa', 'redava'], dtype=object)", ["houspa", "redava"]),
        ("np.array(['houspa' 'redava'],\n         dtype='<U6')", ["houspa", "redava"]),
        ("array([], dtype=object)", []),
        ("[np.str_('houspa'), np.int64(24321)]", ["houspa", "24321"]),
        ("('houspa',)", ["houspa"]),
        ("{'houspa', 'redava'}", ["houspa", "redava"]),
        ("frozenset({'houspa'})", ["houspa"]),
        ("set()", []),
        ("()", []),
        ("'houspa', 'redava'", ["houspa", "redava"]),
        ("[houspa, redava]", ["houspa", "redava"]),
        ("[u'houspa', b'redava']", ["houspa", "redava"]),
        ("['houspa', 'houspa']", ["houspa"]),
        ("['houspa', '', None, nan]", ["houspa"]),
        ("NaN", []),
        ("None", []),
        ("<NA>", []),
        ("1139490", ["1139490"]),
        ("1139490.0", ["1139490"]),
        ("[1139490.0, 24321.0]", ["1139490", "24321"]),
        ("[007, 24321]", ["007", "24321"]),
        ("['007' '47158son01']", ["007", "47158son01"]),
        ("Parus major, Turdus merula", ["Parus major", "Turdus merula"]),
        ("Swainson's thrush; Audubon's warbler", ["Swainson's thrush", "Audubon's warbler"]),
        (r"['it\'s', 'a\\b']", ["it's", "a\\b"]),
        (r'["\u00e9\ud83d\ude00"]', ["é😀"]),
    ],
)
def test_every_form_is_read(text: str, labels: list[str]) -> None:
    assert label_list(text) == labels


def test_what_is_known_decides_how_words_are_taken_together() -> None:
    assert label_list("Parus major") == ["Parus", "major"]
    assert label_list("Parus major", {"Parus major"}) == ["Parus major"]
    assert label_list("a, b c", {"a", "b", "c"}) == ["a", "b", "c"]
    assert label_list("a, b c", {"a", "b"}) == ["a", "b c"]


@pytest.mark.parametrize(
    "text",
    [
        "['houspa'",
        "houspa']",
        "['houspa' 'redava' ... 'zebdov']",
        "[houspa, ...]",
        "[['houspa'], ['redava']]",
        "{'houspa': 1}",
        "{houspa: 1}",
        "[{[]:1}]",
        "['houspa''redava']",
        "['houspa'] + ['redava']",
        "array('houspa')",
        "array([1, 2])[0]",
        "__import__('os').system('true')",
        r"['\N{BULLET}']",
        r"['\ud83d']",
        "[" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        "list(" * 20_000 + ")" * 20_000,
        "array(" + ",dtype=x" * 15_000 + ")",
        "'" * 99_999,
    ],
)
def test_what_is_no_list_is_refused_and_never_half_read(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        label_list(text)
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) < 100


@given(LABELS)
def test_what_python_and_json_write_is_read_back(labels: list[str]) -> None:
    once = list(dict.fromkeys(labels))
    for text in (json.dumps(labels, ensure_ascii=False), repr(labels), repr(tuple(labels))):
        if "\\" not in text:
            assert label_list(text) == once


@given(WORDS)
def test_what_numpy_writes_is_read_back(words: list[str]) -> None:
    array = np.array(words, object)
    assert label_list(str(array)) == words
    assert label_list(repr(array)) == words
    assert label_list(str(np.array(words, np.str_))) == words
    for separator in (" ", ",", ", ", ";", "|", "\n"):
        assert label_list(separator.join(words)) == words


@given(st.text("[](){}'\"\\,;| \nabu1.:=nt", max_size=30))
def test_any_text_is_read_or_refused_and_nothing_is_evaluated(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            labels = label_list(text)
        except ValueError:
            return
    assert all(label == label.strip() and label for label in labels)


def test_entries_of_2026_that_begin_with_a_space_are_as_those_without() -> None:
    assert label_list("['call', ' song']") == label_list("['call', 'song']") == ["call", "song"]
