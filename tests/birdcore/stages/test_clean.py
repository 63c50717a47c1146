"""Cleaning: bad files are rejected with their reason, speech goes, a person has the last word."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from birdcore.audio import cleaning, speech
from birdcore.audio.cleaned import UNREADABLE, read_problems
from birdcore.audio.cleaned import USED as USED_WITH_PROBLEM
from birdcore.audio.decode import decode
from birdcore.audio.reading import Reading
from birdcore.audio.rules import TooManyRejected
from birdcore.audio.trim import Override
from birdcore.config import Clean
from birdcore.sources.shards import Shard
from birdcore.stages import clean
from birdcore.store.artifact import Artifact
from birdcore.store.store import Store
from tests.support.chirps import chirps

MadeShard = Callable[..., Shard]
Overrides = dict[str, tuple[Override, ...]]
SPOKEN = (
    "train_audio/amered/XC551413.ogg",
    "train_audio/amered/XC551419.ogg",
    "train_audio/amered/XC551416.ogg",
)

REJECTED = {
    "empty.ogg": "empty file (0 bytes)",
    "page.ogg": "not a readable sound file",
    "half.ogg": "cut off after",
    "half.flac": "cut off after",
    "half.wav": "cut off after",
    "silent.wav": "silent from start to end",
    "one.wav": "only 0.0000 s long",
    "short.wav": "only 0.1000 s long",
    "nan.wav": "NaN or infinite",
    "folder.ogg": "directory",
    "loop.ogg": "can't be opened",
    "gone.ogg": "can't be opened",
}
USED = ("good.ogg", "good.flac", "good.wav", "eight.wav", "slow.wav", "fast.wav")


def noise(seconds: float, rate: int = 32_000, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((round(seconds * rate), channels))


def bad_files(folder: Path) -> None:
    """Every bad file that a collection may hold, and some odd ones that are fine."""
    folder.mkdir(parents=True)
    for suffix in (".ogg", ".flac", ".wav"):
        whole = folder / f"good{suffix}"
        sf.write(whole, noise(4), 32_000)
        content = whole.read_bytes()
        (folder / f"half{suffix}").write_bytes(content[: len(content) // 2])
    (folder / "empty.ogg").touch()
    (folder / "page.ogg").write_text("<html>404 not found</html>\n" * 30)
    sf.write(folder / "silent.wav", np.zeros(96_000), 32_000)
    sf.write(folder / "one.wav", np.array([0.5]), 192_000)
    sf.write(folder / "short.wav", noise(0.1), 32_000)
    broken = noise(2)
    broken[1_000] = np.nan
    sf.write(folder / "nan.wav", broken, 32_000, subtype="FLOAT")
    sf.write(folder / "eight.wav", noise(2, channels=8), 32_000)
    sf.write(folder / "slow.wav", noise(2, 4_000), 4_000)
    sf.write(folder / "fast.wav", noise(2, 192_000), 192_000)
    (folder / "folder.ogg").mkdir()
    (folder / "loop.ogg").symlink_to("loop.ogg")
    (folder / "gone.ogg").symlink_to("nowhere.ogg")


def cleaned(
    store: Store, shard: Shard, root: Path, settings: Clean, overrides: Overrides | None = None
) -> Artifact:
    return store.make(clean.step(shard, settings, overrides or {}, root), clean.run)


def table(artifact: Artifact, name: str) -> pd.DataFrame:
    return pd.read_parquet(artifact / f"{name}.parquet")


def length(rows: pd.DataFrame) -> float:
    return float((rows["to"] - rows["from"]).sum())


def test_bad_files_are_rejected_with_their_reason_and_the_others_are_used(
    store: Store, tmp_path: Path, shard_of: MadeShard
) -> None:
    bad_files(tmp_path / "train_audio")
    shard = shard_of(tmp_path, "train_audio")
    artifact = cleaned(store, shard, tmp_path, Clean(max_rejected=1.0))
    rejected = table(artifact, "rejected").set_index("recording")["reason"]
    assert set(rejected.index) == {f"train_audio/{name}" for name in REJECTED}
    for name, reason in REJECTED.items():
        assert reason in rejected[f"train_audio/{name}"]
    measured = table(artifact, "recordings").set_index("recording")
    assert set(measured.index) == {f"train_audio/{name}" for name in USED}
    assert measured["channels"]["train_audio/eight.wav"] == 8
    assert measured["rate"]["train_audio/slow.wav"] == 4_000
    assert measured["rate"]["train_audio/fast.wav"] == 192_000
    assert set(table(artifact, "kept")["recording"]) == set(measured.index)
    assert (artifact.metrics["recordings"], artifact.metrics["rejected"]) == (
        len(USED),
        len(REJECTED),
    )


@pytest.mark.parametrize("rate", [100, 2_000, 256_000, 500_000])
def test_recordings_beyond_hearing_are_cleaned(
    store: Store, tmp_path: Path, shard_of: MadeShard, rate: int
) -> None:
    (tmp_path / "train_audio").mkdir()
    samples = chirps(rate, 6.0, 0.1 * rate, 0.4 * rate)
    sf.write(tmp_path / "train_audio" / "a.wav", samples, rate)
    artifact = cleaned(store, shard_of(tmp_path, "train_audio"), tmp_path, Clean())
    assert table(artifact, "rejected").empty
    assert table(artifact, "kept")[["from", "to"]].to_numpy().tolist() == [[0.0, 6.0]]


def test_soundscapes_keep_every_second_that_can_be_read(
    store: Store, tmp_path: Path, shard_of: MadeShard
) -> None:
    bad_files(tmp_path / "test_soundscapes")
    shard = shard_of(tmp_path, "test_soundscapes")
    artifact = cleaned(store, shard, tmp_path, Clean(max_rejected=0.0))
    unreadable = {"empty.ogg", "page.ogg", "nan.wav", "folder.ogg", "loop.ogg", "gone.ogg"}
    rejected = set(table(artifact, "rejected")["recording"])
    assert rejected == {f"test_soundscapes/{name}" for name in unreadable}
    kept = table(artifact, "kept").set_index("recording")
    measured = table(artifact, "recordings").set_index("recording")
    assert (kept["from"] == 0).all()
    assert kept["to"].to_dict() == measured["duration_s"].to_dict()
    assert measured["truncated"]["test_soundscapes/half.wav"]
    assert kept["to"]["test_soundscapes/half.wav"] == pytest.approx(2, abs=0.01)
    assert table(artifact, "cuts").empty
    problems = read_problems(artifact.folder, soundscapes=True).set_index("where")
    cut_off = {f"test_soundscapes/half{suffix}" for suffix in (".ogg", ".flac", ".wav")}
    used = problems[problems["problem"] == USED_WITH_PROBLEM]["detail"]
    assert cut_off <= set(used.index)
    assert all(" s" in detail for detail in used[list(cut_off)]), "it says how much could be read"
    lost = problems[problems["problem"] == UNREADABLE]["detail"]
    assert set(lost.index) == rejected
    assert lost["test_soundscapes/empty.ogg"] == "empty file (0 bytes)"
    assert artifact.metrics["problems"] == len(used)


def test_note_of_a_used_recording_is_a_problem(
    store: Store, tmp_path: Path, shard_of: MadeShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train_audio").mkdir()
    sf.write(tmp_path / "train_audio" / "a.wav", noise(2), 32_000)
    (tmp_path / "train_audio" / "b.ogg").touch()
    note = "channels cancel: channel 2 is used"
    monkeypatch.setattr(cleaning, "decode", lambda *of: replace(decode(*of), note=note))
    shard = shard_of(tmp_path, "train_audio")
    artifact = cleaned(store, shard, tmp_path, Clean(remove="none"))
    assert artifact.metrics["recordings"] == 1
    (told,) = read_problems(artifact.folder, soundscapes=False).to_dict("records")
    assert told == {"problem": USED_WITH_PROBLEM, "where": "train_audio/a.wav", "detail": note}


def test_recordings_too_long_to_wait_for_others_are_cleaned_alike(
    store: Store,
    tmp_path: Path,
    shared_data: Path,
    shard_of: MadeShard,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = shared_data / "birdclef-mini"
    shard = shard_of(root, "train_audio", SPOKEN)
    together = cleaned(store, shard, root, Clean())
    monkeypatch.setattr(speech, "ALONE", 20 * speech.SPEECH_RATE)
    alone = cleaned(Store(tmp_path / "other"), shard, root, Clean())
    for name in ("recordings", "cuts", "kept", "rejected", "problems"):
        pd.testing.assert_frame_equal(table(alone, name), table(together, name))
    assert together.metrics["with_speech"]


@pytest.mark.parametrize("kind", ["train_soundscapes", "test_soundscapes"])
def test_speech_stays_in_soundscapes(
    store: Store, tmp_path: Path, shared_data: Path, shard_of: MadeShard, kind: str
) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    (folder / "jfk.flac").symlink_to(shared_data / "speech" / "whisper_jfk.flac")
    artifact = cleaned(store, shard_of(tmp_path, kind), tmp_path, Clean())
    assert artifact.metrics["cut_s"] == 0


def test_a_shard_with_too_many_bad_files_fails_and_says_what_is_wrong(
    store: Store, tmp_path: Path, shard_of: MadeShard
) -> None:
    folder = tmp_path / "train_audio"
    folder.mkdir()
    for i in range(11):
        (folder / f"{i:02d}.ogg").touch()
    sf.write(folder / "good.wav", noise(2), 32_000)
    shard = shard_of(tmp_path, "train_audio")
    with pytest.raises(
        TooManyRejected,
        match=r"11 of 12 recordings of clean train_audio/0000 were rejected, more than "
        r"clean\.max_rejected = 0\.5; the first: train_audio/00\.ogg: empty file \(0 bytes\)",
    ):
        cleaned(store, shard, tmp_path, Clean())
    assert store.find(clean.step(shard, Clean(), {}, tmp_path).ref) is None
    assert cleaned(store, shard, tmp_path, Clean(max_rejected=0.95)).metrics["rejected"] == 11


def test_a_small_shard_may_hold_bad_files_only(
    store: Store, tmp_path: Path, shard_of: MadeShard
) -> None:
    (tmp_path / "train_audio").mkdir()
    (tmp_path / "train_audio" / "a.ogg").touch()
    artifact = cleaned(store, shard_of(tmp_path, "train_audio"), tmp_path, Clean())
    assert table(artifact, "kept").empty
    assert len(table(artifact, "rejected")) == 1


def spoken(shared_data: Path, shard_of: MadeShard, names: tuple[str, ...]) -> tuple[Path, Shard]:
    root = shared_data / "birdclef-mini"
    return root, shard_of(root, "train_audio", names)


def truth(shared_data: Path) -> pd.DataFrame:
    rows = pd.read_csv(shared_data / "birdclef-mini" / "speech_truth.csv")
    return rows.assign(recording="train_audio/" + rows["filename"])


def overlap(rows: pd.DataFrame, cuts: pd.DataFrame) -> float:
    """Seconds of `rows` that lie in `cuts` of the same recording."""
    pairs = rows.merge(cuts, on="recording")
    common = np.minimum(pairs["end"], pairs["to"]) - np.maximum(pairs["start"], pairs["from"])
    return float(common.clip(lower=0).sum())


def test_speech_over_birds_is_cut_and_little_else(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    rows = truth(shared_data)
    with_speech = sorted(set(rows["recording"]))
    root = shared_data / "birdclef-mini"
    every = shard_of(root, "train_audio")
    without = [f.path for f in every.files if f.path not in with_speech][:12]
    shard = shard_of(root, "train_audio", [*with_speech[:12], *without])
    artifact = cleaned(store, shard, root, Clean())
    rows = rows[rows["recording"].isin(with_speech[:12])]
    cuts, measured = table(artifact, "cuts"), table(artifact, "recordings")
    said = float((rows["end"] - rows["start"]).sum())
    found = overlap(rows, cuts)
    assert found > 0.9 * said
    assert length(cuts) - found < 0.03 * (measured["duration_s"].sum() - said)
    assert set(cuts["by"]) == {"speech"}


def test_kept_and_cut_make_up_the_recording(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    root, shard = spoken(shared_data, shard_of, SPOKEN)
    artifact = cleaned(store, shard, root, Clean())
    measured = table(artifact, "recordings").set_index("recording")
    both = pd.concat([table(artifact, "kept"), table(artifact, "cuts")])
    for name, pieces in both.groupby("recording"):
        pieces = pieces.sort_values("from")
        edges = [0.0, *pieces["to"]]
        np.testing.assert_allclose(pieces["from"], edges[:-1], atol=1e-9)
        assert edges[-1] == pytest.approx(measured["duration_s"][name])
    kept = table(artifact, "kept").groupby("recording")[["from", "to"]].apply(length)
    np.testing.assert_allclose(measured["kept_s"], kept[measured.index])


def test_nothing_is_cut_when_nothing_shall_be(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    root, shard = spoken(shared_data, shard_of, SPOKEN)
    artifact = cleaned(store, shard, root, Clean(remove="none"))
    assert table(artifact, "cuts").empty
    assert artifact.metrics["with_speech"] == 0


def test_a_share_cuts_that_part_of_the_recordings_and_more_of_them_when_it_rises(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    root, shard = spoken(shared_data, shard_of, SPOKEN)
    drawn = sorted(int(f.sha256[:8], 16) / 16**8 for f in shard.files)
    between = (drawn[0] + drawn[1]) / 2
    some = cleaned(store, shard, root, Clean(remove=between))
    cut = {f.path for f in shard.files if int(f.sha256[:8], 16) / 16**8 < between}
    assert len(cut) == 1
    assert set(table(some, "cuts")["recording"]) == cut
    assert some.metrics["with_speech"] == 3
    every = cleaned(store, shard, root, Clean(remove=1.0))
    assert set(table(every, "cuts")["recording"]) == set(SPOKEN)
    assert length(table(cleaned(store, shard, root, Clean(remove=0.0)), "cuts")) == 0


def test_a_person_keeps_what_was_cut_and_cuts_what_was_kept(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    root, shard = spoken(shared_data, shard_of, SPOKEN)
    overrides = {
        SPOKEN[0]: (Override("keep", 0.0, math.inf),),
        SPOKEN[1]: (Override("cut", 1.0, 3.0),),
    }
    plain = cleaned(store, shard, root, Clean())
    artifact = cleaned(store, shard, root, Clean(), overrides)
    assert artifact.ref != plain.ref
    cuts, before = table(artifact, "cuts"), table(plain, "cuts")
    assert not len(cuts[cuts["recording"] == SPOKEN[0]])
    own = cuts[cuts["recording"] == SPOKEN[1]]
    by_hand = own[own["by"] == "override"]
    assert by_hand[["from", "to"]].to_numpy().tolist() == [[1.0, 3.0]]
    by_machine = own[own["by"] == "speech"]
    pd.testing.assert_frame_equal(
        by_machine.reset_index(drop=True),
        before[before["recording"] == SPOKEN[1]].reset_index(drop=True),
    )


def test_speech_is_not_looked_for_in_groups_that_are_taken_for_it(
    store: Store, shared_data: Path, shard_of: MadeShard
) -> None:
    root, shard = spoken(shared_data, shard_of, SPOKEN)
    groups = {SPOKEN[0]: "Insecta", SPOKEN[1]: "frogs", SPOKEN[2]: "Aves"}
    plain = clean.step(shard, Clean(), {}, root)
    assert clean.step(shard, Clean(), {}, root, {SPOKEN[2]: "Aves"}).key == plain.key
    assert clean.step(shard, Clean(no_speech_in=()), {}, root, groups).key == plain.key
    insects = clean.step(shard, Clean(no_speech_in=("insects",)), {}, root, groups)
    assert insects.config["unsearched"] == [SPOKEN[0]]

    by_hand = {SPOKEN[1]: (Override("cut", 1.0, 3.0),)}
    step = clean.step(shard, Clean(), by_hand, root, groups)
    artifact = store.make(step, clean.run)
    cuts = table(artifact, "cuts")
    assert cuts.set_index("recording")["by"].to_dict().keys() == {SPOKEN[1], SPOKEN[2]}
    assert set(cuts[cuts["recording"] == SPOKEN[1]]["by"]) == {"override"}
    assert artifact.metrics["not_searched_for_speech"] == 2
    # Order and measurements are as ever.
    measured = table(artifact, "recordings").set_index("recording")
    assert list(measured.index) == [file.path for file in shard.files]
    assert measured["speech_s"][SPOKEN[0]] == 0


def test_speech_is_found_in_the_channel_that_is_read_at_the_true_speed(
    store: Store, shared_data: Path, tmp_path: Path, shard_of: MadeShard
) -> None:
    samples, rate = sf.read(shared_data / "speech" / "sample.flac", dtype="float32")
    (tmp_path / "train_audio").mkdir()
    both = np.stack([noise(len(samples) / rate, rate)[: len(samples), 0] * 0.01, samples], axis=1)
    sf.write(tmp_path / "train_audio" / "a.wav", both, rate // 4)  # four times slower
    shard = shard_of(tmp_path, "train_audio")

    def cuts(**reading: Any) -> float:
        step = clean.step(shard, Clean(), {}, tmp_path, reading=Reading(**reading))
        return length(table(store.make(step, clean.run), "cuts"))

    assert cuts(channels="first", speed=4.0) == 0
    assert clean.step(shard, Clean(), {}, tmp_path, reading=Reading()).key == (
        clean.step(shard, Clean(), {}, tmp_path).key
    )
    spoken_s = cuts(channels="loudest", speed=4.0)
    # Most of the file, in its own seconds, and in it there is next to no pause.
    assert 0.5 < spoken_s / (4 * len(samples) / rate) <= 1.0


def test_overrides_and_settings_change_the_key_only_where_they_matter(
    tmp_path: Path, shard_of: MadeShard
) -> None:
    for kind in ("train_audio", "test_soundscapes"):
        (tmp_path / kind).mkdir()
        sf.write(tmp_path / kind / "a.wav", noise(1), 32_000)
    clips = shard_of(tmp_path, "train_audio")
    soundscapes = shard_of(tmp_path, "test_soundscapes")
    own = {"train_audio/a.wav": (Override("cut", 0.0, 0.2),)}
    others = {"train_audio/b.wav": (Override("cut", 0.0, 0.2),)}
    key = clean.step(clips, Clean(), {}, tmp_path).key
    assert clean.step(clips, Clean(), others, tmp_path).key == key
    assert clean.step(clips, Clean(), own, tmp_path).key != key
    assert clean.step(clips, Clean(margin_s=0.5), {}, tmp_path).key != key
    unread = clean.step(soundscapes, Clean(), {}, tmp_path).key
    assert clean.step(soundscapes, Clean(margin_s=0.5), own, tmp_path).key == unread


def test_a_recording_that_is_cut_away_is_rejected_however_short_one_may_be(
    store: Store, tmp_path: Path, shard_of: MadeShard
) -> None:
    (tmp_path / "train_audio").mkdir()
    sf.write(tmp_path / "train_audio" / "a.wav", noise(1), 32_000)
    overrides = {"train_audio/a.wav": (Override("cut", 0.0, math.inf),)}
    shard = shard_of(tmp_path, "train_audio")
    artifact = cleaned(store, shard, tmp_path, Clean(min_duration_s=0.0), overrides)
    (reason,) = table(artifact, "rejected")["reason"]
    assert reason == "only 0.00 s left after cutting (clean.min_duration_s)"
    assert table(artifact, "recordings").empty
