"""The tables of a catalogue: which recordings and species there are, of whatever source."""

import pandas as pd

from birdcore.store.artifact import Artifact


def read_recordings(catalog: Artifact) -> pd.DataFrame:
    """The recordings' table of a catalogue, indexed by recording."""
    return pd.read_parquet(catalog / "recordings.parquet").set_index("recording", drop=False)


def read_labels(catalog: Artifact) -> tuple[str, ...]:
    """The classes of a catalogue, in the order of the submission's columns."""
    return tuple(pd.read_parquet(catalog / "species.parquet")["label"])
