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
    import moocore  # takes 0.2 s, which `paretune --help` need not wait for

    if np.isnan(points).any():
        raise ValueError("a point with a NaN coordinate cannot be ranked")
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=bool)


def dominance(draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return in which draws one point dominates another.

    Args:
        draws: Losses of shape (draws, points, objectives).

    Returns:
        An array of shape (draws, points, points): ``[d, i, j]`` tells whether point ``i`` is no
        worse than point ``j`` in all objectives of draw ``d``, and better in one.
    """
    no_worse = np.ones((len(draws), draws.shape[1], draws.shape[1]), dtype=bool)
    for column in np.moveaxis(draws, 2, 0):
        no_worse &= column[:, :, None] <= column[:, None, :]
    found: NDArray[np.bool_] = no_worse & ~no_worse.transpose(0, 2, 1)
    return found


def front(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distinct non-dominated points in lexicographic order.

    Args:
        points: Array of shape (points, objectives); lower is better. NaN is not allowed.

    Returns:
        Array of shape (front, objectives).

    Raises:
        ValueError: If a coordinate is NaN.
    """
    return np.unique(points[non_dominated(points)], axis=0)
