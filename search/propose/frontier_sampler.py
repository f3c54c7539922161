"""The frontier sampler: Paretune's way to search, for any study of Optuna."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from copy import copy
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from paretune.search.propose.acquisition import Outlook, standard_draws
from paretune.search.propose.parameter_space import Array, ParameterSpace
from paretune.search.propose.surrogates.forecast import log_chance_below
from paretune.search.propose.surrogates.learning_set import learning_set
from paretune.search.propose.surrogates.surrogate import Surrogate
from paretune.search.propose.trial_values import TrialValues, is_finite
from paretune.search.record.pareto import non_dominated

_STARTUP = 10
"""Finished trials before the models are asked, as in Optuna's own GP sampler."""

_SCORED = 1_000
"""Random points, and neighbours of the frontier, that are scored per proposal. Chosen by
judgement.
"""

_BEYOND = 0.1
"""Distance of the reference point beyond the worst values of the frontier, as a share of their
range (Ishibuchi et al., "How to Specify a Reference Point in Hypervolume Calculation for Fair
Performance Comparison", 2018, https://doi.org/10.1162/evco_a_00226).
"""

_USUAL = 0.9
"""Share of all trials whose values the reference point is beyond, too: measured from the frontier's
own worst values, a small first frontier would never be extended. Chosen by judgement.
"""

_Rows = dict[int, tuple[dict[str, Any], list[float]]]
"""Parameters and row of a trial, by its number."""


class FrontierSampler(BaseSampler):
    """Proposes the point that is expected to add most hypervolume to the frontier.

    One Gaussian process per objective and per constraint, with a linear and a smooth part, predicts
    the points of the space: all free ones of a small discrete space, otherwise random ones and
    neighbours of the frontier. The point with the largest expected hypervolume improvement, times
    the chance to keep the constraints, divided by the expected cost, is proposed (Emmerich, 2005;
    Schonlau, Welch and Jones, 1998; Snoek, Larochelle and Adams, 2012).

    - Constraints are those of ``trial.set_constraint(key, value)``: feasible at 0 or below.
    - Trials that are running count with their expected values, so that several workers do not
      propose the same.
    - The frontier that is to be improved is that of the models, not of the luckiest measurements.
    - No point of a discrete space is proposed twice while another is left, also not one that
      failed.
    - Parameters that not every trial has are drawn at random.

    >>> import optuna, paretune                                               # doctest: +SKIP
    >>> study = optuna.create_study(                                          # doctest: +SKIP
    ...     directions=["maximize", "minimize"], sampler=paretune.FrontierSampler(seed=0))

    Args:
        seed: Seed of all draws.
        n_startup_trials: Finished trials before the models are asked; until then, points are drawn
            at random.
        ratio_scale: For each objective, whether only its ratios matter, as with times and sizes:
            its values, which must be above zero, are then modelled by their logarithms. By default
            no objective is on a ratio scale.
        cost: Expected seconds of a trial with given parameters: improvement per second is then
            what counts.
        deviations: Name of a trial's user attribute with the standard deviation of each value, if
            it was measured with noise: ``trial.set_user_attr("std", [0.01, 0.2])``. Trials without
            it count as exact, but for the noise that the models find themselves.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = _STARTUP,
        ratio_scale: Sequence[bool] | None = None,
        cost: Callable[[dict[str, Any]], float] | None = None,
        deviations: str | None = None,
    ) -> None:
        if n_startup_trials < 1:
            raise ValueError(f"n_startup_trials must be at least 1; got {n_startup_trials}")
        self.n_startup_trials = n_startup_trials
        self.cost = cost
        self._values = TrialValues(ratio_scale or (), deviations)
        self._random = RandomSampler(seed=seed)
        self._rng = np.random.default_rng(seed)
        self._known_space = IntersectionSearchSpace()
        self._surrogates: dict[tuple[str, bytes], Surrogate] = {}
        self._kept: tuple[ParameterSpace | None, _Rows] = (None, {})

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that every trial so far has, without those of a single value."""
        space = self._known_space.calculate(study)
        return {name: each for name, each in space.items() if not each.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the best point, or none while there are too few trials."""
        if not search_space:
            return {}
        names = search_space.keys()
        trials = [t for t in study.get_trials(deepcopy=False) if names <= t.params.keys()]
        measured = [t for t in trials if t.state == TrialState.COMPLETE and is_finite(t)]
        if len(measured) < self.n_startup_trials:
            return {}
        space = self._space(search_space)
        rows = self._rows(space, [t for t in trials if t.number != trial.number])
        losses = self._values.losses(study.directions, measured)
        feasible = np.array([all(v <= 0 for v in t.constraints.values()) for t in measured])
        front = _front(losses, feasible)
        pool = self._pool(space, list(rows.values()), [rows[measured[i].number] for i in front])
        learned = learning_set(len(measured), front)
        points = space.features(np.array([rows[measured[at].number] for at in learned]))
        running = [
            rows[t.number] for t in trials if t.state == TrialState.RUNNING and t.number in rows
        ]
        pending = space.features(np.array(running).reshape(-1, pool.shape[1]))
        asked = np.vstack([space.features(pool), points[feasible[learned]], pending])
        noise = self._values.variances(measured)
        forecasts = [
            self._forecast(
                space, f"loss {at}", points, losses[learned, at], asked, noise[learned, at], pending
            )
            for at in range(losses.shape[1])
        ]
        means, deviations = (np.column_stack(each) for each in zip(*forecasts, strict=True))
        believed = means[len(pool) :]
        means, deviations = means[: len(pool)], deviations[: len(pool)]
        reference = _reference(losses, losses[front])
        worth = self._log_chance(
            space, [measured[at] for at in learned], points, asked[: len(pool)]
        )
        worth = worth - self._log_cost(space, pool)
        nearness = worth + log_chance_below(reference, means, deviations)
        outlook = Outlook(means, deviations, np.full_like(means, -np.inf), np.exp(worth), nearness)
        best = next(outlook.best(believed, reference, standard_draws(losses.shape[1], self._rng)))
        return space.params(pool[best])

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a random value: before there are models, and of parameters they do not know."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Take other random numbers, as Optuna asks for in each of several workers."""
        self._random.reseed_rng()
        self._rng = np.random.default_rng()

    def _space(self, search_space: dict[str, BaseDistribution]) -> ParameterSpace:
        """Return the space, with what it knows of itself if it is the last one again."""
        known, _ = self._kept
        if known is not None and known.distributions == search_space:
            return known
        return ParameterSpace(search_space)

    def _rows(self, space: ParameterSpace, trials: Sequence[FrozenTrial]) -> dict[int, list[float]]:
        """Return the trials' rows by number; rows of finished trials are kept."""
        # Workers may ask at the same time: a space and its rows are replaced together.
        known_space, kept = self._kept
        if known_space != space:
            kept = {}
            self._kept = (space, kept)
        rows = {}
        for trial in trials:
            params = trial.params
            known = kept.get(trial.number)
            # A finished trial's parameters stay the same object; another study has others.
            if known is None or known[0] is not params:
                known = kept[trial.number] = (params, space.row(params))
            rows[trial.number] = known[1]
        return rows

    def _pool(
        self, space: ParameterSpace, taken: Sequence[Sequence[float]], front: Sequence[Any]
    ) -> Array:
        """Return the points to score: (points, parameters), none of which was tried if possible."""
        tried = {row.tobytes() for row in np.array(taken, dtype=np.float64)}
        if space.is_listed:
            pool = _free(space.everything, tried)
            if len(pool) <= 2 * _SCORED:
                return pool
            drawn = pool[self._rng.choice(len(pool), _SCORED, replace=False)]
        else:
            drawn = space.draw(_SCORED, self._rng)
        near = space.near(np.array(front).reshape(-1, drawn.shape[1]), self._rng)
        self._rng.shuffle(near)
        return _free(np.unique(np.vstack([drawn, near[:_SCORED]]), axis=0), tried)

    def _forecast(
        self,
        space: ParameterSpace,
        name: str,
        points: Array,
        values: Array,
        asked: Array,
        noise: Array | None = None,
        pending: Array | None = None,
    ) -> tuple[Array, Array]:
        """Return means and deviations of a value at points: each of shape (asked,).

        Args:
            space: What the points are of.
            name: Of the value, whose hyperparameters are kept under it.
            points: Where it is known: (points, features).
            values: The values there: (points,).
            asked: Where it is asked for: (asked, features).
            noise: Variances of the values: (points,).
            pending: Where trials are running: their expected values count as known.
        """
        shared = space.parameter_of_feature
        key = (name, shared.tobytes())
        # Workers may ask at the same time: each has a copy, and the last one's fit is kept.
        surrogate = copy(self._surrogates.get(key) or Surrogate(shared=shared))
        surrogate.fit(points, values, noise)
        self._surrogates[key] = copy(surrogate)
        if pending is not None and len(pending):
            expected, _ = surrogate.predict(pending)
            known = np.concatenate([values, expected])
            own = None if noise is None else np.concatenate([noise, np.zeros(len(pending))])
            surrogate.fit(np.vstack([points, pending]), known, own)
        return surrogate.predict(asked)

    def _log_chance(
        self, space: ParameterSpace, trials: Sequence[FrozenTrial], points: Array, asked: Array
    ) -> Array:
        """Return log probabilities to keep every constraint: shape (points,)."""
        from scipy.stats import norm

        chance = np.zeros(len(asked))
        keys = sorted({key for trial in trials for key in trial.constraints})
        for place, key in enumerate(keys):
            told = [at for at, trial in enumerate(trials) if key in trial.constraints]
            values = np.array([trials[at].constraints[key] for at in told])
            if len(told) < 2 or not np.isfinite(values).all():
                continue
            mean, deviation = self._forecast(
                space, f"constraint {place}", points[told], values, asked
            )
            chance += norm.logcdf(-mean / np.maximum(deviation, 1e-12))
        return chance

    def _log_cost(self, space: ParameterSpace, pool: Array) -> Array:
        if self.cost is None:
            return np.zeros(len(pool))
        seconds = [self.cost(space.params(row)) for row in pool]
        return np.log(np.maximum(seconds, 1e-9))


def _free(rows: Array, tried: Set[bytes]) -> Array:
    """Return the rows whose bytes are not among those tried; all if there are no others."""
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    free = np.array([row.tobytes() not in tried for row in rows])
    return rows[free] if free.any() else rows


def _front(losses: Array, feasible: Array) -> list[int]:
    """Return the places of the trials on the frontier; of all trials if none is feasible."""
    places = np.flatnonzero(feasible if feasible.any() else np.ones(len(losses), dtype=bool))
    return [int(at) for at in places[non_dominated(losses[places])]]


def _reference(losses: Array, front: Array) -> Array:
    """Return the point that improvements are measured from, beyond the frontier's losses."""
    span = np.ptp(front, axis=0)
    # A frontier of one value in an objective has no range: that of all trials counts.
    span = np.where(span > 0, span, np.ptp(losses, axis=0))
    end = front.max(axis=0) + _BEYOND * np.where(span > 0, span, 1.0)
    return np.asarray(np.maximum(end, np.quantile(losses, _USUAL, axis=0)))
