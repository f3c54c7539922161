"""Paretune's own strategy: what is expected to add most to the frontier, for what it costs."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import compress, islice

import numpy as np

from paretune.search.propose.forecast import Forecast, limit_losses, log_chance_below
from paretune.search.propose.improvement import Array, Improvement, expected_improvement
from paretune.search.propose.initial_design import first_candidates, run_ends
from paretune.search.propose.model_doubt import doubts, least_losses, surprises, training_of
from paretune.search.record.interest import ANYTHING, Interest
from paretune.search.record.objective import Constraint, Objective, losses
from paretune.search.record.pareto import non_dominated
from paretune.spaces import REFERENCE, Candidate, SearchSpace

_ENUMERATED = 20_000
_SCORED = 1_500
_SHORTLIST = 64
_DRAWS = 16
_LEARNED = 300
_AT_ONCE = 1 / 40
_MUCH_MORE = 3.0
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
        interest: What a person means to pick: the improvement counts as far as that is likely to be
            kept. Until something is, what comes nearest to it is proposed.
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
        interest: Interest = ANYTHING,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.seed = seed
        self.cost = cost
        self.interest = interest
        self._quality = quality_metric
        self._of_build = {quality_metric, *_OF_THE_FILE}
        self._ways = run_ends(space, interest.batch_size)
        self._first = first_candidates(space, self._ways, interest.batch_size)
        self._next: list[Candidate] = []
        self._metrics: dict[Candidate, Mapping[str, float] | None] = {}
        self._forecast = Forecast(space, self._of_build, seed, sizes)

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
        known = {c: m for c, m in known.items() if self.interest.has_batch(c)} or known
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
        """Return the free candidates to score.

        Those of another batch size than the one wished for come in once no other is left.
        """
        batch_size = self.interest.batch_size
        pool = self._pool_of(taken, rng, batch_size)
        return pool if pool or batch_size is None else self._pool_of(taken, rng, None)

    def _pool_of(
        self, taken: set[Candidate], rng: random.Random, batch_size: int | None
    ) -> list[Candidate]:
        """Return the frontier's neighbours and a sample; of one batch size, if one is given."""

        def is_free(candidate: Candidate) -> bool:
            fits = batch_size in (None, candidate.run.batch_size)
            return fits and self._is_free(candidate, taken)

        if self._everyone is not None:
            valid = filter(is_free, rng.sample(self._everyone, len(self._everyone)))
            drawn = list(islice(valid, _SCORED))
        else:
            fixed = {} if batch_size is None else {"batch_size": batch_size}
            values = [
                {a.name: rng.choice(a.values) for a in self.space.axes} | fixed
                for _ in range(_SCORED)
            ]
            drawn = [Candidate.from_params(params) for params in values]
        near = [other for candidate in self._front() for other in self._neighbours(candidate)]
        near = near if len(near) <= _SCORED else rng.sample(near, _SCORED)
        free = list(filter(is_free, dict.fromkeys([*near, *drawn])))
        if free or self._everyone is not None:
            return free
        return list(islice(filter(is_free, self.space.candidates()), _SCORED))

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
        points = self._forecast.points([*pool, *pending])
        data = self._data()
        columns = [self._forecast.losses(goal, data, points) for goal in self.objectives]
        means = np.column_stack([mean for mean, _ in columns])
        deviations = np.column_stack([deviation for _, deviation in columns])
        front = np.vstack([self._wished_losses(), means[len(pool) :]])
        points, means, deviations = points[: len(pool)], means[: len(pool)], deviations[: len(pool)]
        if self._wished():
            doubt = doubts(pool, self._metrics, self.objectives, self._quality, means, self._base())
            deviations = np.hypot(deviations, doubt)
        ends = limit_losses(self.objectives, self._wished())
        log_chance = log_chance_below(ends, means, deviations)
        goals = {goal.metric for goal in self.objectives}
        others = [limit for limit in self._wished() if limit.metric not in goals]
        chance = self._forecast.chance_to_keep([*self.constraints, *others], data, points)
        weight = self._forecast.chance_to_work(self._metrics, points) * chance * np.exp(log_chance)
        least = least_losses(pool, self._metrics, self.objectives, self._quality)
        deviations = np.hypot(deviations, surprises(pool, self._metrics, self.objectives))
        seconds = np.ones(len(pool))
        if self.cost is not None:
            seconds = np.maximum([self.cost(candidate) for candidate in pool], 1e-3)
            weight = weight / seconds
        reference = self._reference()
        improvement = Improvement(front, reference)
        # Scored in full is what looks best two deviations to the good.
        hopes = improvement.of(np.maximum(means - 2 * deviations, least)) * weight
        # Where nothing is expected to count, it is what comes nearest to where something would.
        nearness = log_chance_below(np.minimum(ends, reference), means, deviations)
        nearness = nearness + np.log(chance / seconds)
        short = np.lexsort((-nearness, -hopes))[:_SHORTLIST]
        draws = self._draws()
        best: list[Candidate] = []
        while len(best) < 1 + _AT_ONCE * len(self._metrics) and len(short):
            expected = expected_improvement(
                improvement, means[short], deviations[short], draws, least[short]
            )
            scores = expected * weight[short] + hopes[short] * 1e-9
            chosen = short[int(np.argmax(scores if scores.any() else nearness[short]))]
            if best and seconds[chosen] > _MUCH_MORE * seconds.min():
                break  # By the time that is begun, more is known.
            best.append(pool[chosen])
            short = short[short != chosen]
            front = np.vstack([front, np.maximum(means[chosen], least[chosen])])
            improvement = Improvement(front, reference)
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

    def _feasible(self) -> dict[Candidate, Mapping[str, float]]:
        """Return what was measured and keeps every limit."""
        return {
            candidate: metrics
            for candidate, metrics in self._metrics.items()
            if metrics and all(c.violation(metrics[c.metric]) <= 0 for c in self.constraints)
        }

    def _base(self) -> Mapping[str, float]:
        """Return the baseline's metrics, or those of what was measured first."""
        return self._metrics.get(self.space.baseline) or next(filter(None, self._metrics.values()))

    def _wished(self) -> tuple[Constraint, ...]:
        """Return the limits that are wished for."""
        return self.interest.limits(self._base(), self._quality)

    def _wished_losses(self) -> Array:
        """Return the losses of what was measured and is as it is wished for."""
        limits = self._wished()
        rows = [
            metrics
            for candidate, metrics in self._feasible().items()
            if self.interest.has_batch(candidate)
            and all(limit.violation(metrics[limit.metric]) <= 0 for limit in limits)
        ]
        return losses(rows, self.objectives)

    def _reference(self) -> Array:
        """Return the losses that improvements are measured from."""
        batch_size = self.space.baseline.run.batch_size
        return self.interest.reference(self._base(), self.objectives, self._quality, batch_size)
