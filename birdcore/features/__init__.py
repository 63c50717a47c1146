"""Features: front ends that turn samples into frames, and how frames are coded, kept and read.

Example:
    >>> from birdcore.features.mel import PRESETS  # doctest: +SKIP
    >>> from birdcore.features.spectrogram import mel_energy  # doctest: +SKIP
    >>> energy = mel_energy(samples, PRESETS["config_128"])  # (frames, 128)  # doctest: +SKIP
"""

__all__ = [
    "FRONT_ENDS",
    "cwt",
    "front_end",
    "mel",
    "recordings",
    "scale",
    "shard",
    "shard_reader",
    "spectrogram",
    "stft",
    "superlet",
    "wave",
    "wavelets",
]

FRONT_ENDS = {
    "cwt": "birdcore.features.cwt:CwtSpec",
    "mel": "birdcore.features.mel:MelSpec",
    "stft": "birdcore.features.stft:StftSpec",
    "pcen": "birdcore.features.pcen:PcenSpec",
    "superlet": "birdcore.features.superlet:SuperletSpec",
    "wave": "birdcore.features.wave:WaveSpec",
}
"""Front ends by name, as module:class; each is imported where it is used first."""
