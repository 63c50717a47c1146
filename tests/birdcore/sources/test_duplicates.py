"""Leaks by id, content and sound, the last against plain counting; see also test_leaks.py."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdcore.archives.record import xeno_canto_id
from birdcore.audio.decode import decode
from birdcore.audio.fingerprints import RATE, Fingerprint, Fingerprints, fingerprint, gather
from birdcore.audio.resample import resample
from birdcore.sources import duplicates as room
from birdcore.sources.duplicates import Leak, by_audio, by_content, by_id, match


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("yetwar/XC551538.ogg", 551538),
        ("train_audio/yetwar/xc551538.OGG", 551538),
        ("XC12.mp3", 12),
        ("https://xeno-canto.org/551538", 551538),
        ("https://www.xeno-canto.org/551538/download", 551538),
        ("//xeno-canto.org/XC551538", 551538),
        ("https://xeno-canto.org/sounds/uploaded/ABC/XC551538-song.mp3", 551538),
        ("yetwar/song-XC551538.ogg", 551538),
        ("yetwar/yellow warbler XC551538.ogg", 551538),
        ("yetwar/iNat1109254.ogg", None),
        ("https://www.inaturalist.org/observations/551538", None),
        ("yetwar/CSA36385.ogg", None),
        ("TXC1.ogg", None),
        ("", None),
    ],
)
def test_ids_are_read_from_file_names_and_urls(text: str, number: int | None) -> None:
    assert xeno_canto_id(text) == number


def test_an_id_may_be_in_the_name_or_in_the_url() -> None:
    known = [("a/XC1.ogg", ""), ("a/song.ogg", "https://xeno-canto.org/2"), ("a/iNat3.ogg", "")]
    assert by_id({f"XC{n}.mp3": f"XC{n}" for n in (1, 2, 3)}, known) == [
        Leak("XC1.mp3", "a/XC1.ogg", "id", "XC1"),
        Leak("XC2.mp3", "a/song.ogg", "id", "XC2"),
    ]


def test_the_same_content_is_a_leak_of_the_first_that_has_it() -> None:
    known = {"x.ogg": "aa", "y.ogg": "bb", "z.ogg": "bb"}
    assert by_content({"p.mp3": "bb", "q.mp3": "cc"}, known) == [
        Leak("p.mp3", "y.ogg", "content", "sha256 bb")
    ]


def table(rows: list[list[tuple[int, int]]], prefix: str) -> Fingerprints:
    found: dict[str, Fingerprint] = {}
    for i, each in enumerate(rows):
        frames, hashes = np.array(sorted(each), np.int64).reshape(-1, 2).T
        hashes = hashes.astype(np.uint32) + 5
        found[f"{prefix}{i}"] = Fingerprint(hashes, frames.astype(np.int32))
    return gather(found)


def counted(some: Fingerprints, other: Fingerprints) -> dict[tuple[str, str], int]:
    """The most landmarks that agree at a lag or the next one, by plain counting."""
    best: Counter[tuple[str, str]] = Counter()
    for i, name in enumerate(some.recordings):
        for j, target in enumerate(other.recordings):
            lags: Counter[int] = Counter()
            for a in range(some.bounds[i], some.bounds[i + 1]):
                for b in range(other.bounds[j], other.bounds[j + 1]):
                    if abs(int(some.hashes[a]) - int(other.hashes[b])) <= 1:
                        lags[int(other.frames[b]) - int(some.frames[a])] += 1
            for lag in lags:
                best[name, target] = max(best[name, target], lags[lag] + lags[lag + 1])
    return best


ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 9)), max_size=25), max_size=4
)


@given(some=ROWS, other=ROWS, batch=st.integers(1, 60))
def test_matches_are_those_of_plain_counting(
    some: list[list[tuple[int, int]]], other: list[list[tuple[int, int]]], batch: int
) -> None:
    candidates, known = table(some, "c"), table(other, "k")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "BATCH", batch)
        patch.setattr(room, "CHANCES", 0)
        found = match(candidates, known, min_agreeing=2)
    assert {(m.recording, m.same_as): m.agreeing for m in found} == {
        pair: count for pair, count in counted(candidates, known).items() if count >= 2
    }
    order = [(candidates.recordings.index(m.recording), -m.agreeing) for m in found]
    assert order == sorted(order)


def test_hashes_that_everyone_has_tell_nothing() -> None:
    row = [(i, 0) for i in range(room.COMMONEST + 1)]
    assert match(table([row[:30]], "c"), table([row], "k"), min_agreeing=1) == []


def prints(recordings: dict[str, np.ndarray], rate: int = RATE) -> Fingerprints:
    return gather({name: fingerprint([samples], rate) for name, samples in recordings.items()})


def crickets(seconds: int, seed: int) -> np.ndarray:
    """Chirps of one pitch, two a second, as any two recordings of a species have them."""
    draw = np.random.default_rng(seed)
    time = np.arange(seconds * RATE) / RATE
    chirps = np.where((2 * time + draw.random()) % 1 < 0.4, 1.0, 0.0)
    soft = np.convolve(chirps, np.hanning(241) / 120, "same")
    loud = 1 + 0.05 * np.repeat(draw.standard_normal(seconds * 100), RATE // 100)
    air = 0.001 * draw.standard_normal(len(time))
    return (soft * loud * np.sin(2 * np.pi * 4500 * time) + air).astype(np.float32)


def test_steady_sounds_are_not_the_same_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, other = crickets(150, seed=1), crickets(150, seed=2)
    candidates, known = prints({"cut": heard[: 60 * RATE], "other": other}), prints({"k": heard})
    assert [leak.recording for leak in by_audio(candidates, known)] == ["cut"]
    monkeypatch.setattr(room, "CHANCES", 0)
    assert [leak.recording for leak in by_audio(candidates, known)] == ["cut", "other"]


def test_evidence_says_where_an_excerpt_of_a_cut_recording_lies(shared_data: Path) -> None:
    audio = decode(shared_data / "xeno-canto/audio/XC551505.mp3")
    samples = resample(audio.samples, audio.rate, RATE)
    cut = np.concatenate([samples[: 10 * RATE], samples[25 * RATE :]])
    excerpt = samples[26 * RATE :]
    (leak,) = by_audio(prints({"excerpt": 0.05 * excerpt}), prints({"cut": cut}))
    agree, rest = leak.evidence.split(" landmarks agree at ")
    assert (leak.recording, leak.same_as, leak.why) == ("excerpt", "cut", "audio")
    assert int(agree.split(" of ")[0]) > 100
    assert float(rest.removesuffix(" s")) == pytest.approx(11, abs=0.02)


def test_silence_and_empty_tables_match_nothing() -> None:
    silent = prints({"silent": np.zeros(RATE, np.float32)})
    none = gather({})
    for candidates, known in ((silent, silent), (none, silent), (silent, none), (none, none)):
        assert by_audio(candidates, known, min_agreeing=1) == []
