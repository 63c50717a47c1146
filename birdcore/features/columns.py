"""Columns of tables that hold an array in each row."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


def stacked(column: pd.Series, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A column of N arrays (K,) as one array (N, K)."""
    return np.stack(list(column)).astype(dtype, copy=False)
