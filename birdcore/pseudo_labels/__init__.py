"""Pseudo-labels: a teacher's probabilities for unlabelled recordings as labels of a student.

soft.py       thresholds, powers and masks of probabilities
teacher.py    which models label which recording, and their probabilities for segments
labels.py     labels of a shard's segments, and their file
"""

__all__ = ["labels", "soft", "teacher"]
