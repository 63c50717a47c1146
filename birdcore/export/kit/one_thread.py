"""Threads work on recordings; threads of NumPy's within each of them would only get in the way.
NumPy reads how many it may have when it is imported, so this stands before."""

import os

if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
