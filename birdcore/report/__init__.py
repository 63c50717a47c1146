"""The page of a run: what was built, how good it is, what it confuses; stage `report`."""
