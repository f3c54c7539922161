"""Expected hypervolume improvement: how much a candidate is expected to add to the frontier."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.search.record.hypervolume import hypervolume

Array = NDArray[np.float64]

_AT_ONCE = 1024
"""Points per array operation: it bounds memory, and changes no result."""

_MOST_LEVELS = 48
"""Distinct values per coordinate that cells are cut at. The time grows with its square. Up to this
many points on the frontier the improvement is exact; beyond it, how the rounding acts is untested.
"""

_BOXES = 3
"""Objectives up to which cells are used: with more, their number explodes."""


class Improvement(Protocol):
    """The hypervolume that points would add to a frontier."""

    def of(self, points: Array) -> Array:
        """Return how much each of the points, shape (points, objectives), would add alone."""


def improvement_over(front: Array, reference: Array) -> Improvement:
    """Return the improvement over a frontier, for any number of objectives.

    Args:
        front: Array of shape (points, objectives); lower is better.
        reference: Array of shape (objectives,).
    """
    return (Boxes if len(reference) <= _BOXES else Volumes)(front, reference)


class Boxes:
    """The improvement in up to three objectives, exactly, for many points at once.

    Two coordinates of the frontier cut the space into cells; over each cell the frontier has one
    height in the third (a box decomposition: Lacour, Klamroth and Fonseca, 2017,
    https://doi.org/10.1016/j.cor.2016.09.022). A point adds, summed over the cells it reaches, area
    times gained height. If a frontier has more than 48 distinct values in a coordinate, its points
    are moved to 48 of them, each to the better side by less than a step.

    Args:
        front: Array of shape (points, objectives), one to three objectives; lower is better.
        reference: Array of shape (objectives,).
    """

    def __init__(self, front: Array, reference: Array) -> None:
        front = front[(front < reference).all(axis=1)]
        front, self.reference = _three(front, 0.0), _three(reference[None], 1.0)[0]
        levels = [_levels(front[:, axis]) for axis in (0, 1)]
        self.edges = [
            np.concatenate([[-np.inf], levels[axis], [self.reference[axis]]]) for axis in (0, 1)
        ]
        rows, columns = (
            np.searchsorted(levels[axis], front[:, axis], side="right") for axis in (0, 1)
        )
        heights = np.full([len(edges) - 1 for edges in self.edges], self.reference[2])
        np.minimum.at(heights, (rows, columns), front[:, 2])
        lowest = np.minimum.accumulate(heights, axis=0)
        self.heights: Array = np.minimum.accumulate(lowest, axis=1)

    def of(self, points: Array) -> Array:
        """Return how much each of the points, shape (points, objectives), would add alone."""
        parts = [self._of(points[i : i + _AT_ONCE]) for i in range(0, len(points), _AT_ONCE)]
        return np.concatenate(parts)

    def _of(self, points: Array) -> Array:
        points = _three(points, 0.0)
        result = np.zeros(len(points))
        inside = np.flatnonzero((points < self.reference).all(axis=1))
        # Of the cells that a point reaches, its own is the highest.
        own = [
            np.searchsorted(edges, points[inside, axis], side="right") - 1
            for axis, edges in enumerate(self.edges)
        ]
        inside = inside[self.heights[own[0], own[1]] > points[inside, 2]]
        points = points[inside]
        widths = [
            np.maximum(edges[1:] - np.maximum(edges[:-1], points[:, axis, None]), 0.0)
            for axis, edges in enumerate(self.edges)
        ]
        gained = self.heights[None] - points[:, 2, None, None]
        np.maximum(gained, 0.0, out=gained)
        areas = (gained @ widths[1][:, :, None])[:, :, 0]
        result[inside] = np.einsum("pi,pi->p", widths[0], areas)
        return result


class Volumes:
    """The improvement in any number of objectives, exactly, one point after the other.

    A point adds its own box, less what the frontier dominates of it: the hypervolume of the
    frontier's points, each moved to the box (Bradstreet, While and Barone, "A Fast Incremental
    Hypervolume Algorithm", 2008, https://doi.org/10.1109/TEVC.2008.919001).

    Args:
        front: Array of shape (points, objectives); lower is better.
        reference: Array of shape (objectives,).
    """

    def __init__(self, front: Array, reference: Array) -> None:
        self.front: Array = front[(front < reference).all(axis=1)]
        self.reference = reference

    def of(self, points: Array) -> Array:
        """Return how much each of the points, shape (points, objectives), would add alone."""
        return np.array([self._of(point) for point in points])

    def _of(self, point: Array) -> float:
        if not (point < self.reference).all() or (self.front <= point).all(axis=1).any():
            return 0.0
        inside = np.maximum(self.front, point)
        return float(np.prod(self.reference - point)) - hypervolume(inside, self.reference)


def expected_improvement(
    improvement: Improvement,
    means: Array,
    deviations: Array,
    draws: Array,
    least: Array | None = None,
) -> Array:
    """Return the mean improvement over draws from the objectives' distributions.

    Emmerich, "Single- and Multi-objective Evolutionary Optimization Assisted by Gaussian Random
    Field Metamodels", 2005; by Monte Carlo over one set of draws, so that candidates are
    comparable.

    Args:
        improvement: The current frontier.
        means: Shape (candidates, objectives).
        deviations: Standard deviations, the same shape.
        draws: Standard normal, shape (draws, objectives).
        least: Lower limit of the draws, of the means' shape, if known.
    """
    drawn = means[:, None, :] + deviations[:, None, :] * draws[None, :, :]
    if least is not None:
        drawn = np.maximum(drawn, least[:, None, :])
    points = drawn.reshape(-1, means.shape[1])
    values: Array = improvement.of(points).reshape(len(means), len(draws)).mean(axis=1)
    return values


def _levels(values: Array) -> Array:
    distinct = np.unique(values)
    if len(distinct) <= _MOST_LEVELS:
        return distinct
    levels: Array = distinct[np.linspace(0, len(distinct) - 1, _MOST_LEVELS).astype(int)]
    return levels


def _three(points: Array, fill: float) -> Array:
    """Return points with three coordinates; those added are the second and the third, or the third.

    With two, the heights are the second: cells in two coordinates would be many for nothing.
    """
    missing = _BOXES - points.shape[1]
    padded = np.hstack([points, np.full((len(points), missing), fill)])
    return padded[:, [0, 2, 1]] if missing == 1 else padded
