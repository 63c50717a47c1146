"""From a model's outputs to rows of a submission: windows, smoothing, ensemble weights."""
