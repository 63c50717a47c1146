"""Recordings from Xeno-canto: search, selection and download into a collection."""
