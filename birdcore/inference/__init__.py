"""From trained models to predictions: engines, windows, smoothing, ensembles, output formats.

Names are imported when they are used, since most of them need torch.
"""

from birdcore.late_imports import late_imports

__all__ = [
    "ENGINES", "WRITERS", "EnsembleWeights", "Predictions", "Predictor", "TrainedModel", "blend",
    "fit_ensemble", "load_model", "load_predictors", "predict_recording", "predict_segments",
    "write_predictions",
]  # fmt: skip

__getattr__ = late_imports(
    __name__,
    {
        "engine": ["ENGINES"],
        "ensemble": ["fit_ensemble"],
        "predict": ["Predictor", "load_predictors", "predict_recording", "predict_segments"],
        "predictions": ["WRITERS", "Predictions", "write_predictions"],
        "trained_model": ["TrainedModel", "load_model"],
        "weights": ["EnsembleWeights", "blend"],
    },
)
