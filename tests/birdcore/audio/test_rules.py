"""The decisions of cleaning, on seconds and measured numbers alone."""

import math
from dataclasses import replace

import pytest

from birdcore.audio.quality import Quality
from birdcore.audio.rules import (
    CleaningRules,
    TooManyRejected,
    check_rejected,
    cuts_between,
    rejection_reason,
    removes_speech,
)
from birdcore.audio.trim import Override

RULES = CleaningRules()
QUALITY = Quality(9.0, 0.5, 0, 0.0, 12.0, silent=False)


def test_share_removes_speech_from_so_many_recordings() -> None:
    digests = [f"{i * 0x9E3779B9 % 2**32:08x}{'0' * 56}" for i in range(1000)]
    share = CleaningRules(remove=0.3)
    assert sum(removes_speech(share, sha) for sha in digests) == pytest.approx(300, abs=20)


@pytest.mark.parametrize(("remove", "expected"), [("all", True), ("none", False)])
def test_all_and_none_remove_speech_from_each_recording_or_no_one(
    remove: str, expected: bool
) -> None:
    assert removes_speech(CleaningRules(remove=remove), 64 * "f") is expected


@pytest.mark.parametrize(
    ("problem", "changed", "kept", "reason"),
    [
        ("", {}, [(0.0, 9.0)], ""),
        ("cut off after 2.00 s", {}, [(0.0, 9.0)], "cut off after 2.00 s"),
        ("", {"duration_s": 0.1}, [(0.0, 0.1)], "only 0.1000 s long (clean.min_duration_s)"),
        ("", {"silent": True}, [(0.0, 9.0)], "silent from start to end"),
        ("", {}, [(1.0, 1.25)], "only 0.25 s left after cutting (clean.min_duration_s)"),
        ("", {}, [], "only 0.00 s left after cutting (clean.min_duration_s)"),
    ],
)
def test_rejection_reason_names_what_is_wrong(
    problem: str, changed: dict[str, float], kept: list[tuple[float, float]], reason: str
) -> None:
    assert rejection_reason(problem, replace(QUALITY, **changed), kept, RULES) == reason


def test_recording_of_which_nothing_is_kept_is_rejected_whatever_the_minimum() -> None:
    rules = CleaningRules(min_duration_s=0)
    assert rejection_reason("", QUALITY, [], rules).startswith("only 0.00 s left")


def test_cuts_between_are_the_gaps_with_their_cause() -> None:
    kept = [(1.0, 2.0), (3.0, 6.0)]
    by_hand = [Override("cut", 6.5, math.inf), Override("keep", 0.0, 0.5)]
    assert list(cuts_between(kept, 7.0, by_hand)) == [
        (0.0, 1.0, "speech"),
        (2.0, 3.0, "speech"),
        (6.0, 7.0, "override"),
    ]
    assert list(cuts_between([(0.0, 7.0)], 7.0, [])) == []


def test_check_rejected_allows_few_and_refuses_too_large_a_share() -> None:
    ten = {f"{i}.ogg": "empty file (0 bytes)" for i in range(10)}
    check_rejected(ten, list(ten), "clean train_audio/0000", RULES)
    eleven = ten | {"10.ogg": "empty file (0 bytes)"}
    check_rejected(eleven, range(22), "clean train_audio/0000", RULES)
    with pytest.raises(TooManyRejected, match=r"11 of 21 recordings of clean train_audio/0000"):
        check_rejected(eleven, range(21), "clean train_audio/0000", RULES)
