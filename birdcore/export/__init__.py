"""From a finished run to files that are used without birdflow.

`write_bundle` writes a run's ensemble with `predict.py`, which predicts soundscapes where neither
birdflow nor torch is installed; `write_kaggle` makes a data set and an offline notebook of it.
Names are imported when they are used, since some need torch.
"""

from birdcore.late_imports import late_imports

__all__ = ["BundleConfig", "check_licences", "push_bundle", "write_bundle", "write_kaggle"]

__getattr__ = late_imports(
    __name__,
    {
        "bundle": ["write_bundle"],
        "bundle_config": ["BundleConfig"],
        "kaggle": ["push_bundle", "write_kaggle"],
        "licences": ["check_licences"],
    },
)
