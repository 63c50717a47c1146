"""No label leaks: what a fold's model is judged by is never among what it learns from."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from birdcore.config import Clean, Mel, Round
from birdcore.config.training import TrainConfig
from birdcore.sources.birdclef import scan
from birdcore.sources.shards import shards
from birdcore.stages import catalog, clean, folds, mel, train
from birdcore.store.artifact import Ref
from birdcore.store.store import Store
from birdcore.training.data import epoch_rows
from birdcore.training.training_set import read_training_set

COUNT = 3


@pytest.fixture
def inputs(tiny_data: Path, store: Store) -> dict[str, tuple[Ref, ...]]:
    """Catalogue, folds and mels of the made-up folder, in shards of five."""
    source = scan(tiny_data, store)
    cataloged = store.make(catalog.step(source), catalog.run).ref
    folded = store.make(folds.step(cataloged, COUNT, 0), folds.run).ref
    mels = []
    for shard in shards(source.subsets, store, 5, keep=True)["train_audio"]:
        cleaned = store.make(clean.step(shard, Clean(), {}, tiny_data), clean.run).ref
        step = mel.step(shard, cleaned, Mel(n_mels=32), Clean(), tiny_data)
        mels.append(store.make(step, mel.run).ref)
    return {"catalog": (cataloged,), "folds": (folded,), "mel": tuple(mels)}


def test_no_fold_trains_on_what_it_is_judged_by(
    store: Store, inputs: dict[str, tuple[Ref, ...]]
) -> None:
    table = pd.read_parquet(store.get(inputs["folds"][0]) / "folds.parquet")
    fold_of = dict(zip(table["recording"], table["fold"], strict=True))
    content = pd.read_parquet(store.get(inputs["catalog"][0]) / "recordings.parquet")
    sha_of = dict(zip(content["recording"], content["sha256"], strict=True))
    judged: list[str] = []
    for fold in range(COUNT):
        one = Round(name="one", backbones=("test_resnet",), min_per_class=4)
        step = train.step(one, "test_resnet", fold, 0, inputs)
        config = TrainConfig.model_validate(step.config)
        artifacts = {name: [store.get(ref) for ref in refs] for name, refs in inputs.items()}
        files = train.training_files(artifacts, config)
        data = read_training_set(files, config, torch.device("cpu"))
        names = data.clips.names
        held = {names[r] for r in data.held_out.tolist()}
        assert held == {name for name, f in fold_of.items() if f == fold and name in names}
        drawn = epoch_rows(data.labels, data.train, 2, 4, torch.Generator().manual_seed(fold))
        learnt = {names[r] for r in drawn.tolist()}
        assert not learnt & held
        assert not {sha_of[name] for name in learnt} & {sha_of[name] for name in held}
        assert learnt | held == {name for name in names if name in fold_of}
        judged += sorted(held)
    assert len(judged) == len(set(judged)) > 0
    assert set(judged) <= {name for name, f in fold_of.items() if f >= 0}
