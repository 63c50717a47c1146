"""A run's results folder holds its models, which predict files as the run did."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import birdcore
from birdcore.detection.calibration import read_calibration


@pytest.fixture(scope="module")
def submission(whole_run: Any) -> pd.DataFrame:
    return pd.read_csv(whole_run.out / "submission.csv", index_col="row_id")


def test_predictions_for_a_file_are_its_rows_of_the_submission(
    whole_run: Any, submission: pd.DataFrame, tiny_data: Path
) -> None:
    model = birdcore.load_model(whole_run.out)
    assert list(model.classes) == list(submission.columns)
    files = sorted((tiny_data / "test_soundscapes").iterdir())
    found = model.predictions([str(file) for file in files]).submission()
    assert not found.index.symmetric_difference(submission.index).size
    np.testing.assert_allclose(found.loc[submission.index], submission, atol=1e-6)


def test_weights_are_linked_to_the_store(whole_run: Any) -> None:
    folder = whole_run.out / "model"
    members = json.loads((folder / "ensemble.json").read_text())["members"]
    assert members.keys() == {"first/test_resnet", "second/test_resnet"}
    for models in members.values():
        assert len(models) == 2
        for model in models:
            assert os.stat(folder / model / "model.safetensors").st_nlink > 1


def test_classes_are_named(whole_run: Any) -> None:
    table = pd.read_csv(whole_run.out / "model" / "classes.csv")
    assert list(table.columns) == ["class", "scientific_name", "common_name"]
    assert list(table["class"]) == list(birdcore.load_model(whole_run.out).classes)


def test_one_artifact_of_training_predicts(whole_run: Any, tiny_data: Path) -> None:
    artifact = next(iter((whole_run.store / "train").iterdir()))
    file = min((tiny_data / "test_soundscapes").iterdir())
    table = birdcore.load_model(artifact).predict(file)
    assert list(table.columns[:3]) == ["recording", "start", "end"]
    assert table.iloc[:, 3:].to_numpy().min() >= 0


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no model: give a run's results folder"):
        birdcore.load_model(tmp_path)


def test_calibration_is_of_held_out_recordings(whole_run: Any) -> None:
    classes = birdcore.load_model(whole_run.out).classes
    calibration = read_calibration(whole_run.out / "model", classes)
    assert calibration is not None
    assert calibration.recordings == 9
    assert len(calibration.curves) == len(calibration.thresholds) == len(classes)
