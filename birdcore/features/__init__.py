"""Mel spectrograms: what they are, how they are computed, coded and kept."""
