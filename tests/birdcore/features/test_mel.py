"""Mel specs: the presets' shapes and the plain refusals."""

import warnings

import pytest
from pydantic import ValidationError
from torchaudio.functional import melscale_fbanks

from birdcore.features.mel import PRESETS, MelSpec, mel_edges


def test_fixed_length_of_five_seconds_is_313_frames() -> None:
    spec = PRESETS["config_128"]
    assert spec.fixed_length(5.0) == 313
    assert spec.frame_rate == 62.5


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
def test_samples_is_the_smallest_inverse_of_frames(spec: MelSpec) -> None:
    for frames in (2, 100, 313):
        assert spec.frames(spec.samples(frames)) == frames
        assert spec.frames(spec.samples(frames) - 1) == frames - 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"f_min": 9000.0, "f_max": 8000.0}, "f_min 9000 Hz is not below f_max 8000 Hz"),
        ({"sample_rate": 22050}, r"above half the sample rate \(11025 Hz\)"),
        ({"hop_length": 4096}, "hop_length 4096 is longer than n_fft 2048"),
        ({"n_fft": 2047}, "even"),
        ({"n_mels": 0}, "greater than 0"),
        ({"n_mel": 128}, "Extra inputs are not permitted"),
        ({"n_mels": 512}, r"of 512 mel bins are empty.* 15\.625 Hz .*n_fft \(4096 is enough\)"),
    ],
)
def test_mel_spec_refuses_wrong_numbers(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MelSpec.model_validate(wrong)


@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
@pytest.mark.parametrize("n_fft", [512, 1024, 2048])
@pytest.mark.parametrize("n_mels", [50, 96, 128, 200, 256, 400])
@pytest.mark.parametrize("f_min", [0.0, 20.0, 50.0, 500.0])
def test_mel_spec_finds_the_empty_bins_of_torchaudio(
    mel_scale: str, n_fft: int, n_mels: int, f_min: float
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bank = melscale_fbanks(n_fft // 2 + 1, f_min, 16000.0, n_mels, 32000, None, mel_scale)
    # A bin on a filter's corner has a weight of float32's rounding there.
    empty = int((bank.max(dim=0).values < 1e-5).sum())
    wanted = {"n_fft": n_fft, "n_mels": n_mels, "f_min": f_min, "mel_scale": mel_scale}
    if empty:
        with pytest.raises(ValidationError, match=f"{empty} of {n_mels} mel bins are empty"):
            MelSpec.model_validate(wanted)
    else:
        assert len(mel_edges(MelSpec.model_validate(wanted))) == n_mels + 2
