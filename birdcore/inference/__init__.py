"""From trained models to predictions: engines, windows, smoothing, ensembles, output formats.

Names are imported when they are used, since most of them need torch.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "ENGINES": "engine",
    "WRITERS": "predictions",
    "EnsembleWeights": "weights",
    "Predictions": "predictions",
    "Predictor": "predict",
    "TrainedModel": "trained_model",
    "blend": "weights",
    "fit_ensemble": "ensemble",
    "load_model": "trained_model",
    "load_predictors": "predict",
    "predict_recording": "predict",
    "predict_segments": "predict",
    "write_predictions": "predictions",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
