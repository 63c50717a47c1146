"""Pseudo-labels: what a teacher's probabilities become before a student learns from them."""
