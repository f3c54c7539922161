"""How far what was found is from the best known frontier: three measures, all best at 0.

Losses are scaled so that the frontier's ideal point is 0 and its nadir is 1 in each objective. The
hypervolume is measured from 1.1 in each.
"""

from __future__ import annotations

import moocore
import numpy as np
from table_problem import Array

REFERENCE = 1.1
LEAST = 1e-4
"""Smallest difference of hypervolumes that is told from zero."""

NAMES = ("log10 hypervolume difference", "IGD+", "additive epsilon")


def indicators(found: Array, front: Array) -> tuple[float, float, float]:
    """Return the measures in the order of :data:`NAMES`.

    Args:
        found: Losses without noise of all trials so far: (trials, objectives), at least one.
        front: Losses of the best known frontier: (points, objectives).
    """
    ideal, nadir = front.min(axis=0), front.max(axis=0)
    span = np.where(nadir > ideal, nadir - ideal, 1.0)
    points, best = (found - ideal) / span, (front - ideal) / span
    reference = np.full(front.shape[1], REFERENCE)
    missing = moocore.hypervolume(best, reference) - moocore.hypervolume(points, reference)
    return (
        float(np.log10(max(missing, LEAST))),
        float(moocore.igd_plus(points, best)),
        float(moocore.epsilon_additive(points, best)),
    )
