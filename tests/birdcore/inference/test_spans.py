"""Names of windows."""

from birdcore.inference.spans import aligned_names, span_name, start_of


def test_names_of_other_frames_are_one_name() -> None:
    rates = (62.5, 31.25, 100.0)
    names = [
        [span_name("a.ogg", round(s * rate) / rate, round((s + 5) * rate) / rate) for s in (0, 5)]
        for rate in rates
    ]
    assert len({tuple(each) for each in names}) > 1
    assert {tuple(aligned_names(each)) for each in names} == {("a.ogg#t=0,5", "a.ogg#t=5,10")}


def test_names_that_would_be_one_stay_as_they_are() -> None:
    near = ["a#t=1.01,2", "a#t=1.02,2", "b"]
    assert aligned_names(near) == near
    assert aligned_names(["b", "b"]) == ["b", "b"]


def test_a_recording_has_no_span() -> None:
    assert aligned_names(["a#1.ogg"]) == ["a#1.ogg"]
    assert start_of("a#1.ogg") == ("a#1.ogg", 0.0)
