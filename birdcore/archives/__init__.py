"""Recordings from public archives: search, selection and download into a collection.

search.py       queries of Xeno-canto in its tags, answered into `searches/`
inaturalist.py  queries of iNaturalist, answered with observations and their sounds
selection.py    which of the records are selected, with a reason for every other
download.py     recordings into `recordings/`, each whole, once
client.py       the requests of all: paced, retried, without the key in logs
"""

__all__ = ["client", "download", "folder", "record", "search", "selection", "selection_state"]
