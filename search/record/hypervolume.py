"""The exact hypervolume: how much of the objective space a set of points dominates."""

import numpy as np
from numpy.typing import NDArray


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume between the points and a reference point.

    Exact, by ``moocore``: with up to four objectives in the best known times, with more by
    recursion (Fonseca, Paquete and López-Ibáñez, "An Improved Dimension-Sweep Algorithm for the
    Hypervolume Indicator", 2006, https://doi.org/10.1109/CEC.2006.1688440).

    Args:
        points: Array of shape (points, objectives); lower is better.
        reference: Array of shape (objectives,); points that are not better than it in every
            coordinate add nothing.

    Returns:
        The volume; 0 if there are no points.

    Raises:
        ValueError: If the shapes do not match or a value is NaN.
    """
    import moocore  # takes 0.2 s, which `paretune --help` need not wait for

    if points.ndim != 2 or reference.shape != (points.shape[1],):
        raise ValueError(
            f"points of shape {points.shape} need a reference of shape ({points.shape[-1]},); got "
            f"{reference.shape}"
        )
    if np.isnan(points).any() or np.isnan(reference).any():
        raise ValueError("hypervolume needs numbers; got NaN")
    inside = points[(points < reference).all(axis=1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0
