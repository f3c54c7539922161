"""Paretune's own strategy: what is expected to add most to the frontier, for what it costs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property

import numpy as np

from search.improvement import Array, Improvement, expected_improvement
from search.objective import Constraint, Objective, reference_point
from search.surrogate import Surrogate, encode
from spaces import Axis, Candidate, SearchSpace

_MOST_SCORED = 20_000
_SHORTLIST = 192
_DRAWS = 32
_LEAST_CHANCE = 0.02
_BUILD_AXES = ("student", "pruning_ratio", "quantization")
_OF_THE_FILE = ("size_bytes",)


class FrontierStrategy:
    """The informative candidates first, then the largest expected hypervolume improvement.

    Every candidate of the space is scored: a Gaussian process a metric says what it is expected to
    give, and the improvement is what that adds to the frontier measured so far. Quality and size
    are learned from the build axes alone, one point a build, because how an artifact is run does
    not change them.

    Args:
        space: What may be tried.
        objectives: What to optimize: at most three.
        constraints: Limits: the improvement counts as far as they are likely to be kept.
        quality_metric: The workload's quality.
        seed: Seed of what is drawn; together with what was observed it decides every proposal.
        cost: Expected seconds of a candidate, if time is what the search is short of.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        quality_metric: str = "accuracy",
        seed: int = 0,
        cost: Callable[[Candidate], float] | None = None,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.seed = seed
        self.cost = cost
        self._of_build = {quality_metric, *_OF_THE_FILE}
        self._first = space.informative()
        self._metrics: dict[Candidate, Mapping[str, float] | None] = {}
        self._surrogates: defaultdict[str, Surrogate] = defaultdict(lambda: Surrogate(seed))
        self._build_axes = [axis for axis in space.axes if axis.name in _BUILD_AXES]

    def propose(self, pending: Collection[Candidate] = ()) -> Candidate | None:
        """Return a valid candidate that was never observed, or ``None`` if none is left."""
        taken = {*self._metrics, *pending}
        for candidate in self._first:
            if candidate not in taken:
                return candidate
        free = [row for row, candidate in enumerate(self._candidates) if candidate not in taken]
        if not free:
            return None
        if not any(self._metrics.values()):
            return self._candidates[random.Random(self.seed + len(taken)).choice(free)]
        scores = self._scores(free, [c for c in pending if c not in self._metrics])
        return self._candidates[free[int(np.argmax(scores))]]

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Learn a candidate's metrics, or (``None``) that it cannot be built or measured."""
        self._metrics[candidate] = metrics

    @cached_property
    def _candidates(self) -> list[Candidate]:
        everyone = list(self.space.candidates())
        if len(everyone) <= _MOST_SCORED:
            return everyone
        return random.Random(self.seed).sample(everyone, _MOST_SCORED)

    @cached_property
    def _points(self) -> Array:
        """All candidates, encoded."""
        return encode(self._candidates, self.space.axes)

    @cached_property
    def _build_points(self) -> Array:
        """The builds of all candidates, encoded."""
        return encode(self._candidates, self._build_axes)

    def _scores(self, free: list[int], pending: list[Candidate]) -> Array:
        """Return how much each free candidate, by its row, is expected to be worth."""
        measured = {c: m for c, m in self._metrics.items() if m is not None}
        columns = [self._predict(goal, measured, free, pending) for goal in self.objectives]
        means = np.column_stack([mean for mean, _ in columns])
        deviations = np.column_stack([deviation for _, deviation in columns])
        known = np.array([self._losses(m) for m in measured.values() if self._is_feasible(m)])
        known = known.reshape(-1, len(self.objectives))
        front = np.vstack([known, means[len(free) :]])
        improvement = Improvement(front, self._reference(measured))
        means, deviations = means[: len(free)], deviations[: len(free)]
        weight = self._chance_to_work(free) * self._chance_to_fit(free, measured)
        if self.cost is not None:
            costs = [self.cost(self._candidates[row]) for row in free]
            weight = weight / np.maximum(costs, 1e-3)
        # Scored in full is what looks best two deviations to the good.
        hopes = improvement.of(means - 2 * deviations)
        short = np.argsort(-hopes * weight)[:_SHORTLIST]
        expected = expected_improvement(improvement, means[short], deviations[short], self._draws())
        scores = hopes * weight * 1e-9
        scores[short] += expected * weight[short]
        return scores

    def _predict(
        self,
        goal: Objective,
        measured: Mapping[Candidate, Mapping[str, float]],
        free: Sequence[int],
        pending: Sequence[Candidate] = (),
    ) -> tuple[Array, Array]:
        """Return expected losses, and how sure they are, of candidates by row, then of others."""
        name, scale = goal.metric, goal.loss
        axes: Sequence[Axis] = self.space.axes
        if name in self._of_build:
            axes, everyone = self._build_axes, self._build_points
            rows: defaultdict[object, list[float]] = defaultdict(list)
            of_build: dict[object, Candidate] = {}
            for candidate, metrics in measured.items():
                rows[candidate.build].append(scale(metrics[name]))
                of_build[candidate.build] = candidate
            points, values = list(of_build.values()), [float(np.mean(v)) for v in rows.values()]
        else:
            everyone = self._points
            points, values = list(measured), [scale(m[name]) for m in measured.values()]
        surrogate = self._surrogates[name]
        surrogate.fit(encode(points, axes), np.array(values, dtype=float))
        wanted = np.vstack([everyone[free], encode(pending, axes)]) if pending else everyone[free]
        return surrogate.predict(wanted)

    def _draws(self) -> Array:
        """Return standard normal draws; all that depends on how it is run shares one.

        A call that is slower than expected has less throughput, too: draws of their own would make
        a candidate look good in both.
        """
        rng = np.random.default_rng(self.seed + len(self._metrics))
        both = rng.standard_normal((_DRAWS, 2))
        columns = [int(goal.metric not in self._of_build) for goal in self.objectives]
        return both[:, columns]

    def _chance_to_work(self, free: Sequence[int]) -> Array:
        works = np.array([float(m is not None) for m in self._metrics.values()])
        if works.all():
            return np.ones(len(free))
        surrogate = self._surrogates["works"]
        surrogate.fit(encode(list(self._metrics), self.space.axes), works)
        chance: Array = np.clip(surrogate.predict(self._points[free])[0], 0.0, 1.0)
        return np.maximum(chance, _LEAST_CHANCE) ** 2

    def _chance_to_fit(
        self, free: Sequence[int], measured: Mapping[Candidate, Mapping[str, float]]
    ) -> Array:
        from scipy.stats import norm

        chance = np.ones(len(free))
        for limit in self.constraints:
            goal = Objective(limit.metric, "minimize")
            mean, deviation = self._predict(goal, measured, free)
            if limit.maximum is not None:
                chance *= norm.cdf((goal.loss(limit.maximum) - mean) / deviation)
            if limit.minimum is not None:
                chance *= norm.cdf((mean - goal.loss(limit.minimum)) / deviation)
        kept: Array = np.maximum(chance, 1e-6)
        return kept

    def _is_feasible(self, metrics: Mapping[str, float]) -> bool:
        return all(limit.violation(metrics[limit.metric]) <= 0 for limit in self.constraints)

    def _losses(self, metrics: Mapping[str, float]) -> list[float]:
        return [goal.loss(metrics[goal.metric]) for goal in self.objectives]

    def _reference(self, measured: Mapping[Candidate, Mapping[str, float]]) -> Array:
        """Return where improvements are measured from: the baseline, or what was measured first."""
        base = measured.get(self.space.baseline) or next(iter(measured.values()))
        return reference_point(base, self.objectives)
