"""Front ends and 1-D models as graphs: two runtimes compute what torch does.

A drill, because to trace wavelets of all scales, or a GRU of many frames, takes up to 20 seconds.
"""

from pathlib import Path

import pytest
import torch

from birdcore.config.front_end_checks import READ_SAMPLES
from birdcore.features.cwt import CwtSpec
from birdcore.features.front_end import FrontEnd
from birdcore.features.mel import MelSpec
from birdcore.features.pcen import PcenSpec
from birdcore.features.stacked import Stacked
from birdcore.features.stft import StftSpec
from birdcore.features.superlet import SuperletSpec
from birdcore.features.wave import WaveSpec
from birdcore.inference.engine import ENGINES, open_engine
from birdcore.inference.onnx import export_onnx, largest_difference
from birdcore.inference.onnx_file import ONNX_FILE
from birdcore.models.sed import load_spec, save_model
from birdcore.models.sequence import SEQUENCE_MODELS
from tests.support.single_onnx import check_single_onnx
from tests.support.small_run import write_model

EXPORTED = [name for name in ENGINES if name != "torch"]


@pytest.mark.parametrize(
    ("front_end", "normalise"),
    [
        (StftSpec(n_fft=512, f_min=500.0, f_max=15_000.0), "floor"),
        (PcenSpec(n_mels=32), "zscore"),
        (PcenSpec(n_mels=32, pcen_time_s=0.4, pcen_bias=2.0, pcen_power=0.5), "bins"),
        (CwtSpec(scales=32), "floor"),
        (SuperletSpec(scales=32, order=1.5), "zscore"),
        (Stacked((MelSpec(n_mels=32), CwtSpec(scales=32))), "bins"),
        (WaveSpec(), "none"),
    ],
    ids=["stft", "pcen", "pcen for speech", "cwt", "superlet", "mel+cwt", "wave"],
)
def test_one_file_has_any_front_end_in_it(
    tmp_path: Path, shared_data: Path, front_end: FrontEnd, normalise: str
) -> None:
    check_single_onnx(tmp_path, shared_data, front_end, normalise)


@pytest.mark.parametrize("backbone", SEQUENCE_MODELS)
def test_1d_models_are_exported(backbone: str, tmp_path: Path) -> None:
    front_end = WaveSpec(hop_length=320) if backbone in READ_SAMPLES else MelSpec(n_mels=32)
    folder = tmp_path / "exported"
    model, reads = write_model(folder, 0, front_end=front_end, backbone=backbone)
    swell = torch.arange(reads.frames).div(20).sin()
    crops = swell * torch.randn(6, *reads.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():  # untrained ones answer far from 0, and alike
        model.head.cla.bias.sub_(model(crops).framewise_logit.mean(dim=(0, 2)))
    save_model(folder, model, load_spec(folder))
    export_onnx(model, load_spec(folder), reads, folder / ONNX_FILE)
    for batch in (crops[:1], crops[1:]):
        outputs = {name: open_engine(folder, name)(batch) for name in ENGINES}
        assert outputs["torch"].framewise.std() > 1e-2
        for name in EXPORTED:
            assert largest_difference(outputs["torch"], outputs[name]) < 1e-4
