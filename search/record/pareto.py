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
    distinct, copies = _distinct(points)
    mask = np.zeros(len(distinct), dtype=bool)
    mask[_front_of(distinct)] = True
    return mask[copies]


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
    distinct, _ = _distinct(points)
    return distinct[_front_of(distinct)]


def _distinct(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distinct points in lexicographic order, and of each point its place in them."""
    if np.isnan(points).any():
        raise ValueError("a point with a NaN coordinate cannot be ranked")
    order = np.lexsort(points.T[::-1])
    ranked = points[order]
    is_new = np.ones(len(points), dtype=bool)
    is_new[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    copies = np.empty(len(points), dtype=np.intp)
    copies[order] = np.cumsum(is_new) - 1
    return ranked[is_new], copies


def _front_of(distinct: NDArray[np.float64]) -> list[int]:
    """Return the places of the non-dominated ones among distinct points in lexicographic order.

    A point's dominators come before it, so the first remaining point is never dominated, and
    removes the points that it dominates. The number of steps is the size of the front.
    """
    found = []
    left = np.arange(len(distinct))
    while len(left):
        found.append(int(left[0]))
        left = left[(distinct[left] < distinct[left[0]]).any(axis=1)]
    return found
