"""Paretune's own strategy: the candidate that is expected to add most to the frontier."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np

from paretune.search.propose.acquisition import Outlook, standard_draws
from paretune.search.propose.candidate_pool import CandidatePool
from paretune.search.propose.improvement import Array
from paretune.search.propose.initial_design import first_candidates, run_ends
from paretune.search.propose.surrogates.forecast import Forecast, limit_losses, log_chance_below
from paretune.search.propose.surrogates.learning_set import learning_set
from paretune.search.propose.surrogates.model_doubt import (
    doubts,
    least_losses,
    surprises,
    training_of,
)
from paretune.search.record.objective import Constraint, Objective, losses
from paretune.search.record.pareto import non_dominated
from paretune.search.record.wish import ANYTHING, Wish
from paretune.spaces import REFERENCE, Candidate, SearchSpace

_AT_ONCE = 1 / 40
"""Further proposals drawn up at once, per trial so far, so that asking stays cheap: at 40 trials,
two. Evidence: see ``MOST_LEARNED``.
"""

_MUCH_MORE = 3.0
"""Times the cheapest candidate's seconds above which none is drawn up ahead. Chosen by
judgement.
"""

_MOST_EARLIER = 50
"""Measurements of an earlier study that are learned from: many more would hide the study's own.
Evidence: `transfer.py` has as many.
"""

_UNTRAINED = (REFERENCE, 0.0)


class FrontierStrategy:
    """A few informative candidates, then the largest expected hypervolume improvement.

    The first candidates cost little and bound the rest: the baseline, the reference in every
    quantization, the last student. From the third on, each has other run settings, so that they
    also inform about the run axes. Other trainings are proposed when they are worth their price.

    The strategy then scores the neighbours of the frontier and some thousands of other candidates:
    one Gaussian process per metric predicts their values, and the improvement is what these add to
    the frontier measured so far. Quality and size are learned from the build axes alone, with one
    point per build, because run settings do not change them.

    The improvement is divided by the expected seconds of the candidate, or by what one of the
    budget's trials is worth, whichever is more. A trial is worth the mean seconds of the candidates
    or the time left for each trial left, whichever is less. So if trials run out before time does,
    no candidate is preferred for being cheap, but a costly one must be worth it. Evidence:
    `nights.py --trials 50`.

    As a study grows, more proposals are computed at once, each as if the previous ones had yielded
    the expected values, so that asking stays cheap.

    Args:
        space: The search space.
        objectives: The objectives.
        constraints: Limits: the improvement is weighted with the probability to keep them.
        quality_metric: The workload's quality.
        seed: Seed of all draws; together with the observations and the costs it determines every
            proposal.
        cost: Returns the expected seconds of a candidate; by default all take the same.
        seconds_per_trial: Returns the seconds left for each trial left; infinite without a
            deadline.
        sizes: A value that grows with a student's size, by student, as far as known.
        wish: What a person wants to pick: the improvement is weighted with the probability to
            match it. Until something matches, the nearest candidates are proposed.
        earlier: Metrics that an earlier study measured, by candidate. What it built for a back end
            is not among the first candidates, but for the baseline.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        quality_metric: str = "accuracy",
        seed: int = 0,
        cost: Callable[[Candidate], float] = lambda candidate: 1.0,
        seconds_per_trial: Callable[[], float] = lambda: math.inf,
        sizes: Mapping[str, float] | None = None,
        wish: Wish = ANYTHING,
        earlier: Mapping[Candidate, Mapping[str, float]] | None = None,
    ) -> None:
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.seed = seed
        self.cost = cost
        self.seconds_per_trial = seconds_per_trial
        self.wish = wish
        self._quality = quality_metric
        self._ways = run_ends(space, wish.batch_size)
        self._earlier = self._of_use(earlier or {})
        known = {(each.build, each.run.target) for each in self._earlier}
        self._cheap = first_candidates(space, self._ways, wish.batch_size)
        self._first = [
            candidate
            for candidate in self._cheap
            if candidate == space.baseline or (candidate.build, candidate.run.target) not in known
        ]
        self._pool = CandidatePool(space, wish.batch_size)
        self._next: list[Candidate] = []
        self._metrics: dict[Candidate, Mapping[str, float] | None] = {}
        self._trained: dict[tuple[str, float], list[Candidate]] = {}
        self._forecast = Forecast(space, seed, sizes, self._earlier)

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
            pool = self._pool.draw(self._front(), lambda c: self._is_free(c, taken), rng)
            if not pool:
                return None
            if not any(self._metrics.values()):
                cheap = (each for each in self._cheap if self._is_free(each, taken))
                return next(cheap, None) or rng.choice(pool)
            self._next = self._best(pool, [c for c in pending if c not in self._metrics])
        return self._next[0]

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Learn a candidate's metrics, or (``None``) that it cannot be built or measured."""
        self._metrics[candidate] = metrics
        training = training_of(candidate)
        if metrics and training != _UNTRAINED:
            self._trained.setdefault(training, []).append(candidate)

    def _is_free(self, candidate: Candidate, taken: Collection[Candidate]) -> bool:
        return candidate not in taken and self.space.reason_against(candidate) is None

    def _probe(self, taken: Collection[Candidate]) -> Candidate | None:
        """Return run settings for the last training: those that are best in some objective.

        The value of a training shows at the ends of the frontier. Looking there costs little while
        a trial of the budget is worth less than its seconds. The first training is run at all ends
        of the run axes, because the gain of threads, for example, depends on the batch size.
        """
        if not self._trained:
            return None
        *before, (last, *others) = self._trained.values()
        if any(other.build != last.build for other in others):
            return None
        if self.seconds_per_trial() > self.cost(last):
            return None
        if not self._counts(last):
            return None
        known = self._feasible()
        known = {c: m for c, m in known.items() if self.wish.has_batch(c)} or known
        if not known:
            return None
        ways = [] if any(self._counts(first) for first, *_ in before) else self._ways
        probes = [Candidate.from_params({**last.params, **way}) for way in ways]
        for goal in self.objectives:
            if not goal.is_of_file:
                best = min(known, key=lambda c: goal.loss(known[c][goal.metric]))
                probes.append(replace(last, run=best.run))
        return next((probe for probe in probes if self._is_free(probe, taken)), None)

    def _counts(self, candidate: Candidate) -> bool:
        """Return whether a measured candidate is better than the reference in every file metric."""
        metrics, ends = self._metrics[candidate], self._reference()
        return metrics is not None and all(
            goal.loss(metrics[goal.metric]) < end
            for goal, end in zip(self.objectives, ends, strict=True)
            if goal.is_of_file
        )

    def _front(self) -> list[Candidate]:
        """Return the candidates on the frontier."""
        fine = self._feasible()
        best = non_dominated(losses(list(fine.values()), self.objectives))
        return list(compress(fine, best))

    def _best(self, pool: list[Candidate], pending: list[Candidate]) -> list[Candidate]:
        """Return the next proposals from a pool: those with the highest joint expected value."""
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
        seconds = np.maximum([self.cost(candidate) for candidate in pool], 1e-3)
        price = np.maximum(seconds, min(float(seconds.mean()), self.seconds_per_trial()))
        reference = self._reference()
        # If no candidate is expected to count, take those nearest to the region that counts.
        nearness = log_chance_below(np.minimum(ends, reference), means, deviations)
        nearness += np.log(chance / price)
        outlook = Outlook(means, deviations, least, weight / price, nearness)
        best: list[Candidate] = []
        for chosen in outlook.best(front, reference, self._draws()):
            if best and seconds[chosen] > _MUCH_MORE * seconds.min():
                break  # More is known by the time it begins.
            best.append(pool[chosen])
            if len(best) >= 1 + _AT_ONCE * len(self._metrics):
                break
        return best

    def _of_use(
        self, earlier: Mapping[Candidate, Mapping[str, float]]
    ) -> dict[Candidate, Mapping[str, float]]:
        """Return what can be learned from an earlier study: its frontier, and a part of the rest.

        Candidates of other spaces, and those without a value of each objective, are left out.
        """
        fits = [
            (candidate, metrics)
            for candidate, metrics in earlier.items()
            if self.space.reason_against(candidate) is None
            and all(
                goal.metric in metrics and (metrics[goal.metric] > 0 or not goal.is_ratio_scale)
                for goal in self.objectives
            )
        ]
        best = non_dominated(losses([metrics for _, metrics in fits], self.objectives))
        order = np.random.default_rng(self.seed).permutation(len(fits))
        kept = sorted(order, key=lambda place: not best[place])[:_MOST_EARLIER]
        return dict(fits[place] for place in sorted(kept))

    def _data(self) -> dict[Candidate, Mapping[str, float]]:
        """Return the data to learn from: all measurements, or a part of them in a long study."""
        measured = [(c, m) for c, m in self._metrics.items() if m]
        front = set(self._front())
        places = [place for place, (candidate, _) in enumerate(measured) if candidate in front]
        return dict(measured[place] for place in learning_set(len(measured), places))

    def _draws(self) -> Array:
        """Return standard normal draws; all metrics that depend on run settings share one.

        A call that is slower than expected also has less throughput: independent draws would make a
        candidate look good in both.
        """
        both = standard_draws(2, self.seed + len(self._metrics))
        columns = [int(not goal.is_of_file) for goal in self.objectives]
        draws: Array = both[:, columns]
        return draws

    def _feasible(self) -> dict[Candidate, Mapping[str, float]]:
        """Return the measured candidates that keep every limit."""
        return {
            candidate: metrics
            for candidate, metrics in self._metrics.items()
            if metrics and all(c.violation(metrics[c.metric]) <= 0 for c in self.constraints)
        }

    def _base(self) -> Mapping[str, float]:
        """Return the baseline's metrics, or those of the first measured candidate."""
        return self._metrics.get(self.space.baseline) or next(filter(None, self._metrics.values()))

    def _wished(self) -> tuple[Constraint, ...]:
        """Return the limits of the wish."""
        return self.wish.constraints(self._base(), self._quality)

    def _wished_losses(self) -> Array:
        """Return the losses of the measured candidates that match the wish."""
        limits = self._wished()
        rows = [
            metrics
            for candidate, metrics in self._feasible().items()
            if self.wish.has_batch(candidate)
            and all(limit.violation(metrics[limit.metric]) <= 0 for limit in limits)
        ]
        return losses(rows, self.objectives)

    def _reference(self) -> Array:
        """Return the losses that improvements are measured from."""
        batch_size = self.space.baseline.run.batch_size
        return self.wish.reference(self._base(), self.objectives, self._quality, batch_size)
