"""birdcore: the science of birdflow, usable from a notebook.

    import birdcore

    samples, rate = birdcore.load_recording("soundscape.ogg")
    model = birdcore.load_model("out/run")
    model.predict("soundscape.ogg")

The names in `__all__` are the public surface (`birdcore/api.py` has them, docs/python.md shows
them). They are imported when they are used, so that `import birdcore` is quick.
"""

from birdcore.late_imports import late_imports

__version__ = "0.1.0"

__all__ = [
    "Predictions", "TrainedModel", "augment", "build_model", "load_model", "load_recording", "loss",
    "mel_spectrogram", "model_input", "write_predictions",
]  # fmt: skip

__getattr__ = late_imports(__name__, {"api": __all__})


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
