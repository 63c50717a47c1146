"""The commands of `birdflow`, one module for each group of the help page.

A command takes typed arguments, prints what it found, and returns an exit code or None for 0. It
imports the modules of the pipeline when it runs, so that `--help`, `plan` and a cached run load
neither Prefect nor torch.
"""
