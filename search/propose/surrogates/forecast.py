"""The forecast: expected metrics of candidates, and probabilities to work and keep limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.search.propose.surrogates.drop_scale import DropScale
from paretune.search.propose.surrogates.encoding import Encoding
from paretune.search.propose.surrogates.surrogate import Surrogate
from paretune.search.record.objective import Constraint, Objective
from paretune.spaces import AXES, Candidate, SearchSpace
from paretune.spaces.axis import BUILD_AXES

Array = NDArray[np.float64]
Known = Mapping[Candidate, Mapping[str, float]]

_LEARNED_OF_FAILURES = 150
"""Latest failures, and as many others, that the chance to work is learned from: a Gaussian process
takes time with the third power of both. Chosen by judgement.
"""

_LEAST_CHANCE_TO_WORK = 0.02
"""Least chance to work, as nothing is ruled out by a forecast. Chosen by judgement."""

_LEAST_CHANCE_TO_KEEP = 1e-6
"""Least chance to keep limits, so that candidates can still be ordered by it. Untested."""


class Forecast:
    """One Gaussian process per metric, and one for whether a candidate works.

    Drops of quality are learned on a scale of their own (:class:`DropScale`).

    Metrics of the file (quality, size) are learned from the build axes alone, one point per build,
    because how an artifact is run does not change them. The axes of a pipeline change the model's
    inputs, so quality is learned from these, too.

    What an earlier study measured is learned from, too. A further feature tells the two apart, so
    that the surrogates find out how alike they are: not at all, the same but for a factor, or the
    same (a task's own kernel: Swersky, Snoek and Adams, "Multi-Task Bayesian Optimization", 2013).

    Args:
        space: The search space.
        seed: Seed of the surrogates.
        sizes: A value that grows with a student's size, by student, as far as known.
        earlier: Metrics that an earlier study measured of candidates of this space.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int = 0,
        sizes: Mapping[str, float] | None = None,
        earlier: Known | None = None,
    ) -> None:
        self.earlier = earlier or {}
        self._seed = seed
        self._whole = Encoding(space.axes, sizes)
        of_file = [
            axis
            for axis in space.axes
            if axis.name in BUILD_AXES or AXES.get(axis.name).is_of_pipeline
        ]
        self._file = Encoding(of_file, sizes)
        self._surrogates: dict[str, Surrogate] = {}

    def points(self, candidates: Sequence[Candidate]) -> Array:
        """Return candidates as points for the other methods: shape (candidates, features)."""
        return self._whole.points(candidates)

    def losses(self, goal: Objective, data: Known, points: Array) -> tuple[Array, Array]:
        """Return expected losses at points, and their standard deviations: each (points,)."""
        encoding = self._file if goal.is_of_file else self._whole
        shared, learned = encoding.shared, self._learned(goal, data)
        known = encoding.points(list(learned))
        asked = points[:, self._whole.places(encoding.axes)]
        values = list(learned.values())
        earlier = {c: m for c, m in self.earlier.items() if goal.metric in m}
        if before := self._learned(goal, earlier):
            known = np.vstack([known, encoding.points(list(before))])
            known = np.column_stack([known, np.repeat([0.0, 1.0], [len(learned), len(before)])])
            asked = np.column_stack([asked, np.zeros(len(asked))])
            values += before.values()
            shared = np.append(shared, shared[-1] + 1)
        surrogate, told = self._surrogate(goal.metric, shared), np.array(values)
        if not goal.is_of_file or goal.is_ratio_scale:
            surrogate.fit(known, told)
            return surrogate.predict(asked)
        scale = DropScale.of(told)
        surrogate.fit(known, scale.scaled(told))
        return scale.losses(*surrogate.predict(asked))

    def _learned(self, goal: Objective, data: Known) -> dict[Candidate, float]:
        """Return the losses to learn from: of a metric of the file, one per build."""
        name = goal.metric
        found = {c: goal.loss(m[name]) for c, m in data.items()}
        if not goal.is_of_file:
            return found
        alike: defaultdict[object, list[Candidate]] = defaultdict(list)
        for candidate in found:
            params = candidate.params
            alike[tuple(params[axis.name] for axis in self._file.axes)].append(candidate)
        return {same[0]: float(np.mean([found[c] for c in same])) for same in alike.values()}

    def _surrogate(self, name: str, shared: NDArray[np.int64]) -> Surrogate:
        return self._surrogates.setdefault(name, Surrogate(self._seed, shared))

    def chance_to_work(
        self, tried: Mapping[Candidate, Mapping[str, float] | None], points: Array
    ) -> Array:
        """Return probabilities, squared, that points can be built and measured: (points,)."""
        works = {c: float(m is not None) for c, m in tried.items()}
        if all(works.values()):
            return np.ones(len(points))
        failed = [c for c, fine in works.items() if not fine][-_LEARNED_OF_FAILURES:]
        learned = [*failed, *[c for c, fine in works.items() if fine][-_LEARNED_OF_FAILURES:]]
        surrogate = self._surrogate("works", self._whole.shared)
        values = np.array([works[c] for c in learned])
        surrogate.fit(self.points(learned), values)
        chance: Array = np.clip(surrogate.predict(points)[0], 0.0, 1.0)
        return np.maximum(chance, _LEAST_CHANCE_TO_WORK) ** 2

    def chance_to_keep(self, limits: Sequence[Constraint], data: Known, points: Array) -> Array:
        """Return probabilities that points keep every limit: (points,), none of them zero."""
        from scipy.stats import norm

        chance = np.ones(len(points))
        for limit in limits:
            goal = Objective(limit.metric, "minimize")
            mean, deviation = self.losses(goal, data, points)
            if limit.maximum is not None:
                chance *= norm.cdf((goal.loss(limit.maximum) - mean) / deviation)
            if limit.minimum is not None:
                chance *= norm.cdf((mean - goal.loss(limit.minimum)) / deviation)
        kept: Array = np.maximum(chance, _LEAST_CHANCE_TO_KEEP)
        return kept


def limit_losses(objectives: Sequence[Objective], limits: Sequence[Constraint]) -> Array:
    """Return the loss of each objective's limit, infinite without a limit: (objectives,)."""
    return np.array(
        [
            min((goal.loss(o.bound) for o in limits if o.metric == goal.metric), default=np.inf)
            for goal in objectives
        ]
    )


def log_chance_below(ends: Array, means: Array, deviations: Array) -> Array:
    """Return log probabilities that every loss is below its limit: shape (points,).

    Args:
        ends: Shape (objectives,).
        means: Expected losses, shape (points, objectives).
        deviations: Their standard deviations, of the same shape.
    """
    from scipy.stats import norm

    chance: Array = norm.logcdf((ends - means) / np.maximum(deviations, 1e-12)).sum(axis=1)
    return chance
