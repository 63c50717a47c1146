"""Recordings from Xeno-canto: search, selection and download into a collection.

search.py     queries in the archive's tags, answered into `searches/`
selection.py  which of the records are selected, with a reason for every other
download.py   recordings into `recordings/`, each whole, once
client.py     the requests of both: paced, retried, without the key in logs
"""

__all__ = ["client", "download", "folder", "record", "search", "selection", "selection_state"]
