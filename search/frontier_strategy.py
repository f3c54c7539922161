"""Paretune's own strategy: what is expected to add most to the frontier, for what it costs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import compress, islice

import numpy as np

from search.caution import least_losses, surprises, training_of
from search.improvement import Array, Improvement, expected_improvement
from search.objective import Constraint, Objective, losses, reference_point
from search.opening import first_candidates, run_ends
from search.pareto import non_dominated
from search.surrogate import Surrogate, encode
from spaces import REFERENCE, Axis, Candidate, SearchSpace
from spaces.axis import BUILD_AXES

_ENUMERATED = 20_000
_SCORED = 1_500
_SHORTLIST = 64
_DRAWS = 16
_LEARNED = 300
_AT_ONCE = 1 / 40
_MUCH_MORE = 3.0
_LEAST_CHANCE = 0.02
_UNTRAINED = (REFERENCE, 0.0)
_OF_THE_FILE = ("size_bytes",)


class FrontierStrategy:
    """A few informative candidates, then the largest expected hypervolume improvement.

    The first are those that cost little and bound the rest: the baseline, the reference in every
    quantization, the last student; each, but the first two, run another way, so that they tell
    about the run axes too. Whatever else has to be trained is proposed when it is worth it.

    Candidates are scored, the neighbours of the frontier and some thousands of others: a Gaussian
    process a metric says what each is expected to give, and the improvement is what that adds to
    the frontier measured so far. Quality and size are learned from the build axes alone, one point
    a build, because how an artifact is run does not change them.

    As a study grows, more proposals are drawn up at once, each as if those before it had given what
    was expected, so that to ask stays cheap.

    Args:
        space: What may be tried.
        objectives: What to optimize: at most three.
        constraints: Limits: the improvement counts as far as they are likely to be kept.
        quality_metric: The workload's quality.
        seed: Seed of what is drawn; together with what was observed it decides every proposal.
        cost: Expected seconds of a candidate, if time is what the search is short of.
        sizes: Something that grows with a student's size, by student, as far as it is known.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        quality_metric: str = "accuracy",
        seed: int = 0,
        cost: Callable[[Candidate], float] | None = None,
        sizes: Mapping[str, float] | None = None,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.seed = seed
        self.cost = cost
        self.sizes = sizes
        self._quality = quality_metric
        self._of_build = {quality_metric, *_OF_THE_FILE}
        self._ways = run_ends(space)
        self._first = first_candidates(space, self._ways)
        self._next: list[Candidate] = []
        self._metrics: dict[Candidate, Mapping[str, float] | None] = {}
        self._surrogates: defaultdict[str, Surrogate] = defaultdict(lambda: Surrogate(seed))
        self._build_axes = [axis for axis in space.axes if axis.name in BUILD_AXES]

    def propose(self, pending: Collection[Candidate] = ()) -> Candidate | None:
        """Return a valid candidate that was never observed, or ``None`` if none is left."""
        taken = {*self._metrics, *pending}
        if (probe := self._probe(taken)) is not None:
            return probe
        for candidate in self._first:
            if self._is_free(candidate, taken):
                return candidate
        self._next = [candidate for candidate in self._next if self._is_free(candidate, taken)]
        if not self._next:
            rng = random.Random(self.seed + len(taken))
            pool = self._pool(taken, rng)
            if not pool:
                return None
            if not any(self._metrics.values()):
                return rng.choice(pool)
            self._next = self._best(pool, [c for c in pending if c not in self._metrics])
        return self._next[0]

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Learn a candidate's metrics, or (``None``) that it cannot be built or measured."""
        self._metrics[candidate] = metrics

    def _is_free(self, candidate: Candidate, taken: Collection[Candidate]) -> bool:
        return candidate not in taken and self.space.reason_against(candidate) is None

    def _probe(self, taken: Collection[Candidate]) -> Candidate | None:
        """Return a way to run what was trained last: as what is best in an objective is run.

        What a training is worth shows at the ends of the frontier, and to look there costs little.
        The first training is run at all ends of the run axes, because what threads are worth, say,
        depends on the batch.
        """
        known = self._feasible() if self.cost is not None else {}
        first: dict[tuple[str, float], Candidate] = {}
        for candidate, metrics in self._metrics.items():
            if metrics:
                first.setdefault(training_of(candidate), candidate)
        first.pop(_UNTRAINED, None)
        if not known or not first:
            return None
        trained, last = next(reversed(first.items()))
        builds = {c.build for c, m in self._metrics.items() if m and training_of(c) == trained}
        if len(builds) > 1:
            return None
        ways = self._ways if len(first) == 1 else []
        probes = [Candidate.from_params({**last.params, **way}) for way in ways]
        for goal in self.objectives:
            if goal.metric not in self._of_build:
                best = min(known, key=lambda c: goal.loss(known[c][goal.metric]))
                probes.append(replace(last, run=best.run))
        return next((probe for probe in probes if self._is_free(probe, taken)), None)

    @cached_property
    def _everyone(self) -> list[Candidate] | None:
        """All candidates, unless there are too many to list; rules may change while it is used."""
        space = replace(self.space, rules=())
        return None if space.size > _ENUMERATED else list(space.candidates())

    def _pool(self, taken: set[Candidate], rng: random.Random) -> list[Candidate]:
        """Return the free candidates to score: the frontier's neighbours, and a sample."""
        if self._everyone is not None:
            free = [candidate for candidate in self._everyone if candidate not in taken]
            valid = (c for c in rng.sample(free, len(free)) if self._is_free(c, taken))
            drawn = list(islice(valid, _SCORED))
        else:
            values = [
                {a.name: rng.choice(a.values) for a in self.space.axes} for _ in range(_SCORED)
            ]
            drawn = [Candidate.from_params(params) for params in values]
        near = [other for candidate in self._front() for other in self._neighbours(candidate)]
        near = near if len(near) <= _SCORED else rng.sample(near, _SCORED)
        free = [
            candidate
            for candidate in dict.fromkeys([*near, *drawn])
            if self._is_free(candidate, taken)
        ]
        if free or self._everyone is not None:
            return free
        return list(islice((c for c in self.space.candidates() if c not in taken), _SCORED))

    def _neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """Yield the candidates that differ in one axis: by a step, or in a name."""
        params = candidate.params
        for axis in self.space.axes:
            at = axis.values.index(params[axis.name])
            near = axis.values[max(at - 1, 0) : at + 2] if axis.is_ordered else axis.values
            for value in near:
                if value != params[axis.name]:
                    yield Candidate.from_params({**params, axis.name: value})

    def _front(self) -> list[Candidate]:
        """Return the candidates on the frontier."""
        fine = self._feasible()
        best = non_dominated(losses(list(fine.values()), self.objectives))
        return list(compress(fine, best))

    def _best(self, pool: list[Candidate], pending: list[Candidate]) -> list[Candidate]:
        """Return the next proposals from a pool: those expected to be worth most together."""
        points = encode([*pool, *pending], self.space.axes, self.sizes)
        data = self._data()
        columns = [self._predict(goal, data, points) for goal in self.objectives]
        means = np.column_stack([mean for mean, _ in columns])
        deviations = np.column_stack([deviation for _, deviation in columns])
        known = losses(list(self._feasible().values()), self.objectives)
        front = np.vstack([known, means[len(pool) :]])
        points, means, deviations = points[: len(pool)], means[: len(pool)], deviations[: len(pool)]
        least = least_losses(pool, self._metrics, self.objectives, self._quality)
        deviations = np.hypot(deviations, surprises(pool, self._metrics, self.objectives))
        weight = self._chance_to_work(points) * self._chance_to_fit(points, data)
        seconds = np.ones(len(pool))
        if self.cost is not None:
            seconds = np.maximum([self.cost(candidate) for candidate in pool], 1e-3)
            weight = weight / seconds
        improvement = Improvement(front, self._reference())
        # Scored in full is what looks best two deviations to the good.
        hopes = improvement.of(np.maximum(means - 2 * deviations, least)) * weight
        short = np.argsort(-hopes, kind="stable")[:_SHORTLIST]
        draws = self._draws()
        best: list[Candidate] = []
        while len(best) < 1 + _AT_ONCE * len(self._metrics) and len(short):
            expected = expected_improvement(
                improvement, means[short], deviations[short], draws, least[short]
            )
            scores = expected * weight[short] + hopes[short] * 1e-9
            chosen = short[int(np.argmax(scores))]
            if best and seconds[chosen] > _MUCH_MORE * seconds.min():
                break  # By the time that is begun, more is known.
            best.append(pool[chosen])
            short = short[short != chosen]
            front = np.vstack([front, np.maximum(means[chosen], least[chosen])])
            improvement = Improvement(front, self._reference())
        return best

    def _data(self) -> dict[Candidate, Mapping[str, float]]:
        """Return what to learn from: everything measured, or in a long study a part of it."""
        measured = {c: m for c, m in self._metrics.items() if m is not None}
        if len(measured) <= _LEARNED:
            return measured
        rng = random.Random(self.seed)
        kept = [*self._front(), *list(measured)[: len(self._first)], *list(measured)[-50:]]
        kept += rng.sample(list(measured), _LEARNED)
        return {c: measured[c] for c in list(dict.fromkeys(kept))[:_LEARNED]}

    def _predict(
        self, goal: Objective, data: Mapping[Candidate, Mapping[str, float]], points: Array
    ) -> tuple[Array, Array]:
        """Return expected losses at encoded points, and their standard deviations."""
        name = goal.metric
        axes: Sequence[Axis] = self.space.axes
        learned = {c: goal.loss(m[name]) for c, m in data.items()}
        if name in self._of_build:
            axes = self._build_axes
            of_build: defaultdict[object, list[Candidate]] = defaultdict(list)
            for candidate in data:
                of_build[candidate.build].append(candidate)
            learned = {
                same[0]: float(np.mean([learned[c] for c in same])) for same in of_build.values()
            }
        # The build axes come first, so their features do.
        known = encode(list(learned), axes, self.sizes)
        surrogate = self._surrogates[name]
        surrogate.fit(known, np.array(list(learned.values())))
        return surrogate.predict(points[:, : known.shape[1]])

    def _draws(self) -> Array:
        """Return standard normal draws; all that depends on how it is run shares one.

        A call that is slower than expected has less throughput, too: draws of their own would make
        a candidate look good in both.
        """
        from scipy.stats import norm, qmc

        seed = self.seed + len(self._metrics)
        both = norm.ppf(qmc.Sobol(2, rng=seed).random(_DRAWS))
        columns = [int(goal.metric not in self._of_build) for goal in self.objectives]
        draws: Array = both[:, columns]
        return draws

    def _chance_to_work(self, points: Array) -> Array:
        works = {c: float(m is not None) for c, m in self._metrics.items()}
        if all(works.values()):
            return np.ones(len(points))
        failed = [c for c, fine in works.items() if not fine][-_LEARNED // 2 :]
        learned = [*failed, *[c for c, fine in works.items() if fine][-_LEARNED // 2 :]]
        surrogate = self._surrogates["works"]
        values = np.array([works[c] for c in learned])
        surrogate.fit(encode(learned, self.space.axes, self.sizes), values)
        chance: Array = np.clip(surrogate.predict(points)[0], 0.0, 1.0)
        return np.maximum(chance, _LEAST_CHANCE) ** 2

    def _chance_to_fit(self, points: Array, data: Mapping[Candidate, Mapping[str, float]]) -> Array:
        from scipy.stats import norm

        chance = np.ones(len(points))
        for limit in self.constraints:
            goal = Objective(limit.metric, "minimize")
            mean, deviation = self._predict(goal, data, points)
            if limit.maximum is not None:
                chance *= norm.cdf((goal.loss(limit.maximum) - mean) / deviation)
            if limit.minimum is not None:
                chance *= norm.cdf((mean - goal.loss(limit.minimum)) / deviation)
        kept: Array = np.maximum(chance, 1e-6)
        return kept

    def _feasible(self) -> dict[Candidate, Mapping[str, float]]:
        """Return what was measured and keeps every limit."""
        return {
            candidate: metrics
            for candidate, metrics in self._metrics.items()
            if metrics and all(c.violation(metrics[c.metric]) <= 0 for c in self.constraints)
        }

    def _reference(self) -> Array:
        """Return where improvements are measured from: the baseline, or what was measured first."""
        base = self._metrics.get(self.space.baseline) or next(filter(None, self._metrics.values()))
        return reference_point(base, self.objectives)
