"""How a model learns: input normalisation, augmentation, losses, schedule and averaging."""
