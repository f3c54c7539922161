"""Functions of COCO's suite ``bbob-biobj-mixint``, measured with the scatter of real launches.

In dimension 5, four parameters have 2, 4, 8 and 16 ordered values and one is continuous; in
dimension 10, there are two of each. A trial has three launches, drawn from a real study
(``launches.npz``): their relative scatter, times a tenth of the frontier's range, is its noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import cocoex
import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from table_problem import Array, Observation, non_dominated

LAUNCHES = 3
SCALE = 0.1
"""Noise relative to the frontier's range, per relative scatter of a launch's median. The typical
scatter of 1.7 % then is 0.1 % of the range per trial; the two noisy series have ten times that.
"""

EVALUATIONS = 60_000
"""Points that the best known frontier is searched with."""

_KEPT = Path(__file__).parent / "results" / "fronts"
_SCATTER = Path(__file__).parents[1] / "launches.npz"


class MixedIntegerProblem:
    """One function in one dimension.

    Args:
        function: Its number in the suite: 1 to 92.
        dimension: 5 or 10.
        instance: 1 to 15: other shifts and rotations.
    """

    is_ratio = (False, False)

    def __init__(self, function: int, dimension: int, instance: int) -> None:
        self.name = f"mixint-f{function:02d}-d{dimension}"
        self._instance = instance
        suite = cocoex.Suite("bbob-biobj-mixint", "", f"dimensions: {dimension}")
        self._suite = suite  # the function lives as long as its suite
        self._function = suite.get_problem_by_function_dimension_instance(
            function, dimension, instance
        )
        self._low, self._high = self._function.lower_bounds, self._function.upper_bounds
        self._whole = int(self._function.number_of_integer_variables)
        self.space: dict[str, BaseDistribution] = {
            f"x{at}": IntDistribution(int(low), int(high))
            if at < self._whole
            else FloatDistribution(float(low), float(high))
            for at, (low, high) in enumerate(zip(self._low, self._high, strict=True))
        }
        medians = np.median(np.load(_SCATTER)["latency"], axis=2)
        self._scatter = medians / medians.mean(axis=1, keepdims=True) - 1.0

    def observe(self, params: Mapping[str, Any], rng: np.random.Generator) -> Observation:
        """Measure a point with three launches per objective."""
        truth = np.array(self._function([float(params[name]) for name in self.space]))
        series = self._scatter[rng.integers(len(self._scatter))]
        drawn = series[rng.integers(series.size, size=(len(truth), LAUNCHES))]
        drawn = drawn * SCALE * np.ptp(self.front, axis=0)[:, None]
        deviations = drawn.std(axis=1, ddof=1) / np.sqrt(LAUNCHES)
        values = truth + drawn.mean(axis=1)
        return Observation(values.tolist(), deviations.tolist(), truth.tolist())

    @cached_property
    def front(self) -> Array:
        """The best known frontier, kept in a file."""
        content = hashlib.sha256(f"{EVALUATIONS}".encode()).hexdigest()[:6]
        path = _KEPT / f"{self.name}-i{self._instance}-{content}.npy"
        if not path.exists():
            found = self._search()
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{np.random.default_rng().integers(1 << 40)}.npy")
            np.save(aside, found)
            aside.replace(path)
        return np.asarray(np.load(path), dtype=np.float64)

    def _search(self) -> Array:
        """Search with many points: moves of the points on the frontier so far.

        In turn, a point moves in one or two parameters, or is crossed with another (differential
        steps), with steps of many sizes.
        """
        rng = np.random.default_rng(self._instance)
        span = self._high - self._low
        points = self._low + span * rng.random((2_000, len(span)))
        points[:, : self._whole] = np.round(points[:, : self._whole])
        losses = np.array([self._function(point) for point in points])
        batch = 400
        for _ in range((EVALUATIONS - len(points)) // batch):
            first, second, third = (points[rng.integers(len(points), size=batch)] for _ in range(3))
            is_crossed = rng.random((batch, 1)) < 0.5
            size = 10.0 ** rng.uniform(-3.0, 0.0, (batch, 1))
            steps = np.where(
                is_crossed,
                rng.random((batch, 1)) * (second - third),
                size * span * rng.normal(size=first.shape),
            )
            share = np.where(is_crossed, 0.7, 2.0 / len(span))
            moved = first + steps * (rng.random(first.shape) < share)
            moved[:, : self._whole] = np.round(moved[:, : self._whole])
            moved = np.clip(moved, self._low, self._high)
            found = np.array([self._function(point) for point in moved])
            losses, at = np.unique(np.vstack([losses, found]), axis=0, return_index=True)
            points = np.vstack([points, moved])[at]
            points, losses = _best(points, losses)
        return non_dominated(losses)


def _best(points: Array, losses: Array, most: int = 600) -> tuple[Array, Array]:
    """Return the points on the frontier, at most so many, spread along it."""
    import moocore

    kept = np.flatnonzero(moocore.is_nondominated(losses))
    kept = kept[np.argsort(losses[kept, 0])]
    if len(kept) > most:
        scaled = losses[kept] - losses[kept].min(axis=0)
        scaled /= np.maximum(np.ptp(losses[kept], axis=0), 1e-12)
        way = np.concatenate([[0.0], np.abs(np.diff(scaled, axis=0)).sum(axis=1).cumsum()])
        places = np.searchsorted(way, np.linspace(0.0, way[-1], most))
        kept = kept[np.unique(np.minimum(places, len(kept) - 1))]
    return points[kept], losses[kept]
