"""The code around the model in a service: grey levels come in, digits go out."""

import numpy as np


def preprocess(scans: np.ndarray) -> np.ndarray:
    """Scale grey levels 0 to 16, shape (batch, 8, 8), to floats, shape (batch, 1, 8, 8)."""
    return (scans.astype(np.float32) / 16)[:, None]


def postprocess(logits: np.ndarray) -> list[tuple[int, float]]:
    """Return the digit and its probability for each row of logits, shape (batch, 10)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    digits = shares.argmax(axis=1)
    return [(int(digit), float(row[digit])) for digit, row in zip(digits, shares, strict=True)]
