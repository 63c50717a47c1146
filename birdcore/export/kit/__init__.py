"""What a bundle's `predict.py` and its notebook are made of: NumPy, and nothing of birdflow.

`birdcore/export/script.py` joins these modules into one file, in the order that it lists. So they
import from each other by `from birdcore.export.kit.MODULE import NAME` alone, no two of them have a
name in common at the top level, and nothing else of birdflow is imported.
"""
