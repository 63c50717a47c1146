"""Synthetic data for a first run: birds whose songs are formulas, as a BirdCLEF+ folder.

folder.py       the folder: recordings, soundscapes, tables and the truth
uploads.py      recordings of other species, as Xeno-canto would list them
archive/        serves those with Xeno-canto's API
song.py, recording.py, soundscape.py, propagation.py    the sound
"""

__all__ = ["archive", "folder", "propagation", "recording", "song", "soundscape", "uploads"]
