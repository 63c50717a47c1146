"""Outside teachers: models that others have trained, which hear what ours are to learn."""
