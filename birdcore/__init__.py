"""What each step of birdflow does: plain Python, no Prefect, usable from a notebook."""

__version__ = "0.1.0"
