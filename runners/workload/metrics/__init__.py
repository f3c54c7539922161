"""What judges a model's outputs: metrics that are given one batch after the other."""
