"""The exact hypervolume: how much of the objective space a set of points dominates."""

import numpy as np
from numpy.typing import NDArray

from search.pareto import non_dominated


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume between the points and a reference point.

    Exact, by the recursion over exclusive contributions of While, Bradstreet and Barone, "A Fast
    Way of Calculating Exact Hypervolumes", IEEE Transactions on Evolutionary Computation 16(1),
    2012, https://doi.org/10.1109/TEVC.2010.2077298; with two objectives, by a sweep.

    Args:
        points: Array of shape (points, objectives); lower is better.
        reference: Array of shape (objectives,); points that are not better than it in every
            coordinate add nothing.

    Returns:
        The volume; 0 if there are no points.

    Raises:
        ValueError: If the shapes do not match or a value is NaN.
    """
    if points.ndim != 2 or reference.shape != (points.shape[1],):
        raise ValueError(
            f"points of shape {points.shape} need a reference of shape ({points.shape[-1]},); got "
            f"{reference.shape}"
        )
    if np.isnan(points).any() or np.isnan(reference).any():
        raise ValueError("hypervolume needs numbers; got NaN")
    inside = points[(points < reference).all(axis=1)]
    return _volume(_front(inside), reference)


def _front(points: NDArray[np.float64]) -> NDArray[np.float64]:
    unique = np.unique(points, axis=0)
    return unique[non_dominated(unique)]


def _volume(front: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume of distinct, mutually non-dominated points in lexicographic order."""
    if len(front) == 0:
        return 0.0
    if front.shape[1] == 1:
        return float(reference[0] - front[0, 0])
    if front.shape[1] == 2:
        # In order of the first coordinate the second falls: each point adds a strip.
        ceilings = np.append(reference[1], front[:-1, 1])
        return float(((reference[0] - front[:, 0]) * (ceilings - front[:, 1])).sum())
    total = 0.0
    for i, point in enumerate(front):
        # What a point dominates, less what those after it dominate of that.
        overlap = _front(np.maximum(front[i + 1 :], point))
        total += float(np.prod(reference - point)) - _volume(overlap, reference)
    return total
