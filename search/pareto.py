"""The non-dominated filter."""

import numpy as np
from numpy.typing import NDArray


def non_dominated(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points no other point dominates.

    A point dominates another if it is no worse in every coordinate and better in one. Equal points
    do not dominate each other: all copies of a non-dominated point are kept.

    Args:
        points: Array of shape (points, objectives); lower is better. NaN is not allowed.

    Returns:
        Boolean mask of shape (points,).

    Raises:
        ValueError: If a coordinate is NaN.
    """
    if np.isnan(points).any():
        raise ValueError("a point with a NaN coordinate cannot be ranked")
    mask = np.ones(len(points), dtype=bool)
    for i, point in enumerate(points):
        no_worse = (points <= point).all(axis=1)
        better = (points < point).any(axis=1)
        mask[i] = not (no_worse & better).any()
    return mask
