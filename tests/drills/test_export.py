"""An exported bundle in an environment of its own, made from the package index."""

import json
from pathlib import Path

import numpy as np
import soundfile as sf

from birdcore.config import Predict
from birdcore.export.bundle import write_bundle
from birdcore.export.dry_run import dry_run
from tests.support.small_run import write_run


def test_a_bundle_predicts_in_a_clean_environment_without_a_network(tmp_path: Path) -> None:
    write_run(tmp_path / "out", {"x/one": ["x/one/fold-0"]}, {"x/one": 1.0}, Predict())
    write_bundle(tmp_path / "out", tmp_path / "bundle")
    sound = np.random.default_rng(0).standard_normal(32_000 * 20).astype(np.float32) / 9
    (tmp_path / "sounds").mkdir()
    for name in "abc":
        sf.write(tmp_path / "sounds" / f"{name}.ogg", sound, 32_000)
    result = dry_run(tmp_path / "bundle", tmp_path / "sounds", cores=8)
    assert (result.recordings, result.rows, result.cores) == (3, 12, 8)
    written = json.loads((tmp_path / "bundle" / "dry_run.json").read_text())
    assert written == json.loads(result.model_dump_json())
