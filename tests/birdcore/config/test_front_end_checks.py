"""What of a round does not go with the front end, or does nothing for 1-D backbones."""

from pathlib import Path
from typing import get_args

import pytest

from birdcore.config import RecipeError, read_recipe
from birdcore.config.backbone_names import SequenceName
from birdcore.config.front_end_checks import READ_SAMPLES, WITHOUT_DEPTH
from birdcore.models.sequence import SEQUENCE_MODELS

WAVE = """
[mel]
features = ["wave"]
[train]
backbones = ["conv_wave"]
mask = { frequency_masks = 0 }
[[round]]
name = "one"
"""
ONE_D = """
[train]
backbones = ["resnet10t", "conv_gru"]
[[round]]
name = "one"
"""


def refusal(folder: Path, recipe: str) -> str:
    path = folder / "r.toml"
    path.write_text(recipe)
    with pytest.raises(RecipeError) as refused:
        read_recipe(path)
    return str(refused.value)


def test_names_are_those_that_there_are() -> None:
    assert set(get_args(SequenceName)) == SEQUENCE_MODELS.keys()
    for name, build in SEQUENCE_MODELS.items():
        build(1, 32, 0.0)
        if name in WITHOUT_DEPTH:
            with pytest.raises(ValueError, match="set drop_path = 0"):
                build(1, 32, 0.1)
        else:
            build(1, 32, 0.1)


@pytest.mark.parametrize("name", READ_SAMPLES)
def test_a_backbone_of_samples_reads_no_mel(tmp_path: Path, name: str) -> None:
    says = refusal(tmp_path, ONE_D.replace("conv_gru", name))
    assert f'train.backbones.1 = "{name}": reads samples, and mel.features = ["mel"]: ' in says
    assert 'set features = ["wave"], or choose another backbone' in says


@pytest.mark.parametrize("name", ["resnet10t", "conv_gru", "vit_tiny_patch16_224"])
def test_samples_are_read_by_no_backbone_of_spectrograms(tmp_path: Path, name: str) -> None:
    says = refusal(tmp_path, WAVE.replace('"conv_wave"', f'"conv_wave", "{name}"'))
    assert f'train.backbones.1 = "{name}": reads spectrograms, and mel.features = ["wave"]' in says


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("mask = { frequency_masks = 1 }", "mask.frequency_masks = 1: does not go with mel.feat"),
        ('normalise = "floor"', 'frequencies: choose "zscore", "minmax" or "none". Of the aug'),
        ('normalise = "bins"', 'normalise = "bins": does not go with mel.features = ["wave"], sa'),
        ("reverse = 0.5", "round.0.reverse = 0.5: does not go with"),
        ("flip_frequency = 0.5", "round.0.flip_frequency = 0.5: does not go with"),
        ("noise = { probability = 0.1 }", "noise.probability = 0.1: does not go with"),
        ("filter = { probability = 0.1 }", "filter.probability = 0.1: does not go with"),
        ("band = { probability = 0.1 }", "band.probability = 0.1: does not go with"),
        ("background = { probability = 0.1 }", 'choose "soundscapes", or set background.prob'),
        (
            'background = { probability = 0.1, source = "quiet" }',
            'background.source = "quiet": does not go with mel.features = ["wave"]',
        ),
        ("top_db = 60", "top_db = 60: does not go with"),
        ("reverse = 0.5\nfilter.probability = 1", "set 0 (the same holds for reverse)"),
        ("frequency_channel = true", 'does nothing for backbones = ["conv_wave"]'),
        ("drop_path = 0.1", 'does nothing for backbones = ["conv_wave"], which have no paths'),
    ],
)
def test_what_acts_on_frequencies_does_not_go_with_samples(
    tmp_path: Path, line: str, says: str
) -> None:
    assert says in refusal(tmp_path, f"{WAVE}{line}\n")


def test_what_mixes_waves_does(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        f"{WAVE}sumix.probability = 1\ngain_db = 3\nshift.probability = 1\n"
        'background = {probability = 1, source = "soundscapes"}\npadding.probability = 1\n'
        'loud_crops = 1.0\n[[round]]\nname = "two"\nteacher = "one"\n'
    )
    assert read_recipe(path).mel.spec().recovers_wave
    path.write_text(path.read_text().replace("frequency_masks = 0", "frequency_bins = 0"))
    assert read_recipe(path).round[0].mask.frequency_masks == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "frequency_channel = true",
            'round.0.frequency_channel = true: does nothing for backbones = ["conv_gru"], which '
            "have no frequencies in their features: leave it out, or give other backbones a round "
            "of their own",
        ),
        ('frequency_pool = "mean+max"', 'choose "mean", or give other backbones a round of'),
        ("drop_path = 0.1", 'backbones = ["conv_gru"], which have no paths to drop: set 0'),
    ],
)
def test_what_does_nothing_for_1d_models_is_refused(tmp_path: Path, line: str, says: str) -> None:
    assert says in refusal(tmp_path, f"{ONE_D}{line}\n")
    path = tmp_path / "r.toml"
    path.write_text(f"{ONE_D}{line}\n".replace(', "conv_gru"', ""))
    read_recipe(path)


def test_a_transformer_has_depth_to_drop(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(ONE_D.replace("conv_gru", "transformer_1d") + "drop_path = 0.1\n")
    assert read_recipe(path).round[0].drop_path == 0.1
