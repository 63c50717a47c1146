"""Recipes that come with birdflow, to run or to copy."""
