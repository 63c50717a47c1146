"""What a run has predicted is read shard by shard, and is what it would be if read at once."""

import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import birdcore.inference.teacher_predictions
import birdcore.models.probe
import birdcore.pseudo_labels.labels
from birdcore.audio.channels import channel_name, file_of
from birdcore.store.artifact import Artifact, Ref
from birdcore.store.store import Store
from flows.run_predictions import LEAST, predicted
from tests.support.made_run import CLASSES, MadeRun, heard, labels, probe, species

SHARDS, FOLDS = 3, 5


@pytest.fixture
def made(tmp_path: Path) -> MadeRun:
    return MadeRun(tmp_path)


@pytest.fixture
def said(made: MadeRun) -> pd.DataFrame:
    """Labels of three shards by five teachers, one of them gone: recording, start and p."""
    random, rows = np.random.default_rng(0), []
    for fold in range(FOLDS):
        for shard in range(SHARDS):
            if (fold, shard) == (3, 1):
                continue
            # Names of shards alternate in the order of names, and some end as others begin.
            names = [f"s/{at}{shard}.ogg" for at in range(3)] + [f"s/a{shard}.ogg#1.ogg"]
            names += [channel_name(f"s/a{shard}.ogg", channel) for channel in (0, 1)]
            p = {name: random.integers(0, 4, (6, len(CLASSES))) / 4 for name in names}
            made.add(
                "label", f"label for last soundscapes {shard:04d} fold {fold}", labels(p),
                key=f"{fold} {shard}",
            )  # fmt: skip
            rows += [(name, at * 5.0, one) for name in names for at, one in enumerate(p[name])]
    made.end()
    return pd.DataFrame(rows, columns=["recording", "start", "p"])


def test_shard_by_shard_is_as_all_at_once(made: MadeRun, said: pd.DataFrame) -> None:
    mean = said.groupby(["recording", "start"])["p"].apply(lambda p: np.mean(list(p), axis=0))
    taken: list[tuple[str, str, float, float]] = []
    for (name, start), row in mean.items():
        taken += [
            (file_of(name), code, start, p)
            for code, p in zip(CLASSES, row, strict=True)
            if p >= LEAST
        ]
    # Of channels that say the same at one time, the most probable; of two as probable, the first.
    best = {}
    for file, code, start, p in taken:
        if p > best.get((file, code, start), 0):
            best[file, code, start] = p
    rows = [row for row in taken if best.get(row[:3]) == row[3] and best.pop(row[:3])]
    table = predicted(made.store, made.out).detections
    columns = (table[name] for name in ("file", "class", "start_s", "confidence"))
    found = list(zip(*columns, strict=True))
    assert [row[:3] for row in found] == [row[:3] for row in rows]
    assert [row[3] for row in found] == pytest.approx([row[3] for row in rows])


def test_two_tables_of_labels_are_in_memory_however_many_there_are(
    made: MadeRun, said: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, alive, most = birdcore.pseudo_labels.labels.read_teacher_said, set[int](), []

    def counted(path: Path) -> pd.DataFrame:
        table = read(path)
        alive.add(len(most))
        weakref.finalize(table, alive.discard, len(most))
        most.append(len(alive))
        return table

    monkeypatch.setattr(birdcore.pseudo_labels.labels, "read_teacher_said", counted)
    looked_up = lookups(monkeypatch)
    predicted(made.store, made.out)
    assert len(most) == SHARDS * FOLDS - 1
    assert max(most) <= 2  # one, and that which was read before it
    assert set(looked_up.values()) == {1}


def lookups(monkeypatch: pytest.MonkeyPatch) -> Counter[Ref]:
    counts, find = Counter[Ref](), Store.find

    def counted(self: Store, ref: Ref) -> Artifact | None:
        counts[ref] += 1
        return find(self, ref)

    monkeypatch.setattr(Store, "find", counted)
    return counts


def test_probes_are_read_once_and_outputs_file_by_file(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.add("catalog", "catalog", species)
    for shard in range(SHARDS):
        name = f"external_teacher birdnet train_soundscapes/{shard:04d}"
        recordings = [f"train_soundscapes/{at}{shard}.ogg" for at in range(3)]
        made.add(
            "external_teacher", name, heard(*recordings),
            teacher="birdnet", model={"m": "1"}, hop_s=1.5, shard=shard,
        )  # fmt: skip
    for fold in range(FOLDS):
        made.add("probe", f"probe head fold {fold}", probe)
    made.end()
    load, loaded = birdcore.models.probe.load_probe, []
    module, files = birdcore.inference.teacher_predictions, []
    read = module.read_teacher_predictions
    monkeypatch.setattr(
        birdcore.models.probe, "load_probe", lambda folder: loaded.append(folder) or load(folder)
    )
    monkeypatch.setattr(
        module, "read_teacher_predictions", lambda *given: files.append(given[0]) or read(*given)
    )
    table = predicted(made.store, made.out).detections
    assert len(loaded) == FOLDS
    assert [len(each) for each in files] == [1] * SHARDS
    assert len(table["file"].cat.categories) == 3 * SHARDS
    order = list(zip(table["file"], table["start_s"], strict=True))
    assert order == sorted(order)
