"""The exact hypervolume: how much of the objective space a set of points dominates."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from paretune.search.record.pareto import front


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume between the points and a reference point.

    Exact. With two objectives by a sweep over one of them. With three by a sweep over the third
    that maintains the area dominated so far in the other two: Beume, Fonseca, López-Ibáñez, Paquete
    and Vahrenhold, "On the Complexity of Computing the Hypervolume Indicator", IEEE Transactions on
    Evolutionary Computation 13(5), 2009, https://doi.org/10.1109/TEVC.2009.2015575. With more by
    exclusive contributions, each of one coordinate less: While, Bradstreet and Barone, "A Fast Way
    of Calculating Exact Hypervolumes", IEEE Transactions on Evolutionary Computation 16(1), 2012,
    https://doi.org/10.1109/TEVC.2010.2077298. A front of 200 random points on a sphere takes 11, 65
    and 420 ms with four, five and six objectives.

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
    return _volume(front(inside), reference)


def _volume(best: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume of distinct, mutually non-dominated points in lexicographic order."""
    if len(best) == 0:
        return 0.0
    if best.shape[1] == 1:
        return float(reference[0] - best[0, 0])
    if best.shape[1] == 2:
        # Sorted by the first coordinate, the second falls: each point adds a strip.
        ceilings = np.append(reference[1], best[:-1, 1])
        return float(((reference[0] - best[:, 0]) * (ceilings - best[:, 1])).sum())
    if best.shape[1] == 3:
        return _swept_volume(best, reference)
    # From the worst in the last coordinate on: there, what a later point shares with this one
    # begins where this one does, so its own part is a base of one coordinate less by a height.
    best = best[np.argsort(-best[:, -1], kind="stable")]
    bases, base_reference = best[:, :-1], reference[:-1]
    total = 0.0
    for place, (base, height) in enumerate(zip(bases, reference[-1] - best[:, -1], strict=True)):
        shared = front(np.maximum(bases[place + 1 :], base))
        own = np.prod(base_reference - base) - _volume(shared, base_reference)
        total += float(height * own)
    return total


def _swept_volume(best: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume of mutually non-dominated points in three coordinates.

    From one point to the next along the third coordinate, the area dominated in the other two stays
    as it is. Its edge is a staircase: to the right ``xs`` rises and ``ys`` falls. No point lies
    above the stairs of those before it, which are all better in the third coordinate.
    """
    x_end, y_end, z_end = reference.tolist()
    xs, ys = [-np.inf, x_end], [y_end, -np.inf]
    area = volume = 0.0
    level = z_end
    for x, y, z in best[np.argsort(best[:, 2])].tolist():
        volume += area * (z - level)
        level = z
        start = end = bisect_left(xs, x, lo=1)
        left, ceiling = x, ys[start - 1]
        while ys[end] >= y:
            # A stair that the new one covers.
            area += (xs[end] - left) * (ceiling - y)
            left, ceiling = xs[end], ys[end]
            end += 1
        area += (xs[end] - left) * (ceiling - y)
        xs[start:end], ys[start:end] = [x], [y]
    return float(volume + area * (z_end - level))
