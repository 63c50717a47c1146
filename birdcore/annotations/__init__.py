"""Time-bounded labels of recordings, read from the tables that people have."""
