"""The store: artifacts with verified keys, their files, runs, locks and garbage collection."""
