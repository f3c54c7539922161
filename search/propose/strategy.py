"""The strategy: which candidate to try next."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from paretune.search.record.objective import Constraint, Objective
from paretune.search.record.wish import ANYTHING, Wish
from paretune.spaces import Candidate, SearchSpace

SamplerName = Literal["gp", "tpe", "nsga2", "random"]

_NEAREST_AMONG = 20_000
"""Largest space whose free candidates are all compared with a proposal that was tried already.
Chosen by judgement.
"""

_FAILED = "failed"


class Strategy(Protocol):
    """Proposes candidates and learns from their outcomes."""

    def propose(self, pending: Collection[Candidate] = ()) -> Candidate | None:
        """Return a valid candidate that was never observed, or ``None`` if none is left.

        Args:
            pending: Candidates in work; they are not proposed again.
        """

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Learn a candidate's metrics, or (``None``) that it cannot be built or measured."""


class OptunaStrategy:
    """The informative candidates first, then the proposals of an Optuna sampler.

    The sampler works on a separate study in memory, in an encoding that suits samplers (ordered
    axes as integers, logarithms of times and rates, failures as the worst value seen plus an unmet
    constraint), while the stored study holds the measurements. Candidates in work are running
    trials there, which samplers take into account. A proposal that was observed before, or that a
    rule forbids, is replaced by the nearest valid, unobserved candidate.

    Args:
        space: The search space.
        objectives: The objectives.
        constraints: Limits that steer the sampler.
        sampler: ``gp`` (best up to a few hundred trials, and 10 s per proposal at 1,000), ``tpe``,
            ``nsga2`` or ``random``.
        seed: Seed; a resumed strategy continues to draw instead of repeating the first proposals.
        quality_metric: The workload's quality.
        wish: What a person wants to pick; the sampler treats it as another limit.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        sampler: SamplerName = "gp",
        seed: int = 0,
        quality_metric: str = "accuracy",
        wish: Wish = ANYTHING,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.wish = wish
        self._quality = quality_metric
        self._base: Mapping[str, float] = {}
        self.sampler: SamplerName = sampler
        self.seed = seed
        self._first = space.informative()
        self._observed: set[Candidate] = set()
        self._pending: dict[Candidate, None] = {}
        self._running: dict[Candidate, int] = {}
        self._worst: list[float] | None = None
        self._failed_early: list[Candidate] = []
        self._distributions: dict[str, BaseDistribution] = {
            axis.name: IntDistribution(0, len(axis.values) - 1)
            if axis.is_ordered
            else CategoricalDistribution(axis.values)
            for axis in space.axes
        }
        self._study = optuna.create_study(directions=["minimize"] * len(self.objectives))
        self._has_asked = False
        self._notes: dict[str, Any] = {}
        self._notes_of: dict[Candidate, dict[str, Any]] = {}

    def propose(self, pending: Collection[Candidate] = ()) -> Candidate | None:
        """Return a valid candidate that was never observed, or ``None`` if none is left."""
        self._pending = dict.fromkeys(pending)
        for candidate in self._first:
            if self._is_free(candidate):
                return candidate
        self._run_pending()
        with warnings.catch_warnings():
            # The GP sampler warns that it is experimental, and about categorical axes, every time.
            warnings.simplefilter("ignore")
            wanted = self._ask()
        chosen = wanted if self._is_free(wanted) else self._nearest(wanted)
        if chosen is not None:
            self._notes_of[chosen] = self._notes
        return chosen

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Learn a candidate's metrics, or (``None``) that it cannot be built or measured."""
        self._observed.add(candidate)
        if metrics is None:
            if self._worst is None:
                self._failed_early.append(candidate)
            else:
                self._add(candidate, self._worst, failed=True)
            return
        self._base = self._base or metrics
        values = [objective.loss(metrics[objective.metric]) for objective in self.objectives]
        self._worst = [max(pair) for pair in zip(self._worst or values, values, strict=True)]
        self._add(candidate, values, failed=False, metrics=metrics)
        while self._failed_early:
            self._add(self._failed_early.pop(), self._worst, failed=True)

    def _run_pending(self) -> None:
        """Let the trials of pending candidates run, and no others."""
        for candidate in [each for each in self._running if each not in self._pending]:
            self._study.tell(self._running.pop(candidate), state=TrialState.FAIL)
        for candidate in self._pending:
            if candidate in self._running or candidate in self._observed:
                continue
            self._study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=self._encode(candidate),
                    distributions=dict(self._distributions),
                )
            )
            self._running[candidate] = self._study.get_trials(deepcopy=False)[-1].number

    def _ask(self) -> Candidate:
        if not self._has_asked:
            # A fixed seed would repeat the first proposals after a resume.
            self._study.sampler = _sampler(self.sampler, self.seed + 7919 * len(self._observed))
            self._has_asked = True
        trial = self._study.ask(self._distributions)
        # observe() adds the outcome of the proposal; this trial would count it twice.
        self._study.tell(trial, state=TrialState.FAIL)
        # NSGA-II stores its generation there.
        told = self._study.get_trials(deepcopy=False)[trial.number]
        self._notes = dict(told.system_attrs)
        return self._decode(trial.params)

    def _add(
        self,
        candidate: Candidate,
        values: Sequence[float],
        *,
        failed: bool,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        limits = {_FAILED: 1.0 if failed else -1.0}
        if self.wish.batch_size is not None:
            limits["batch_size"] = -1.0 if self.wish.has_batch(candidate) else 1.0
        wished = self.wish.constraints(self._base, self._quality)
        for index, constraint in enumerate([*self.constraints, *wished]):
            broken = 1.0 if metrics is None else constraint.violation(metrics[constraint.metric])
            limits[f"constraint_{index}"] = broken
        self._study.add_trial(
            create_trial(
                values=list(values),
                params=self._encode(candidate),
                distributions=dict(self._distributions),
                constraints=limits,
                system_attrs=self._notes_of.pop(candidate, {}),
            )
        )

    def _encode(self, candidate: Candidate) -> dict[str, Any]:
        params = candidate.params
        return {
            axis.name: axis.values.index(params[axis.name])
            if axis.is_ordered
            else params[axis.name]
            for axis in self.space.axes
        }

    def _decode(self, params: Mapping[str, Any]) -> Candidate:
        return Candidate.from_params(
            {
                axis.name: axis.values[params[axis.name]] if axis.is_ordered else params[axis.name]
                for axis in self.space.axes
            }
        )

    def _nearest(self, wanted: Candidate) -> Candidate | None:
        """Return the valid, never observed candidate nearest to the wanted one."""
        rng = random.Random(self.seed + len(self._observed))
        free: list[Candidate] = []
        if self.space.size > _NEAREST_AMONG:
            drawn = (self._random(rng) for _ in range(_NEAREST_AMONG // 10))
            free = [c for c in drawn if self._is_free(c)]
        taken = self._observed | self._pending.keys()
        free = free or [c for c in self.space.candidates() if c not in taken]
        rng.shuffle(free)
        return min(free, key=lambda candidate: self._distance(candidate, wanted), default=None)

    def _random(self, rng: random.Random) -> Candidate:
        return Candidate.from_params({a.name: rng.choice(a.values) for a in self.space.axes})

    def _is_free(self, candidate: Candidate) -> bool:
        taken = candidate in self._observed or candidate in self._pending
        return not taken and self.space.reason_against(candidate) is None

    def _distance(self, one: Candidate, other: Candidate) -> float:
        """Return the sum over axes: 1 for a different name, the share of the range for a number."""
        a, b = self._encode(one), self._encode(other)
        return sum(
            abs(a[axis.name] - b[axis.name]) / max(len(axis.values) - 1, 1)
            if axis.is_ordered
            else float(a[axis.name] != b[axis.name])
            for axis in self.space.axes
        )


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed)
        return optuna.samplers.RandomSampler(seed=seed)


class ExhaustiveStrategy:
    """Every candidate, the baseline first, then build by build.

    Args:
        space: The search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._left = dict.fromkeys([space.baseline, *space.candidates()])

    def propose(self, pending: Collection[Candidate] = ()) -> Candidate | None:
        """Return the next candidate that was never observed, or ``None`` if none is left."""
        free = (candidate for candidate in self._left if candidate not in pending)
        return next((c for c in free if self.space.reason_against(c) is None), None)

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Mark a candidate as tried."""
        self._left.pop(candidate, None)


class WarmStart:
    """Known good candidates first, then another strategy.

    Args:
        inner: The strategy that continues.
        space: The search space; candidates outside it are left out.
        candidates: The candidates to try first, after the baseline.
    """

    def __init__(
        self, inner: Strategy, space: SearchSpace, candidates: Sequence[Candidate]
    ) -> None:
        self.inner = inner
        self.space = space
        first = dict.fromkeys([space.baseline, *candidates])
        self._first = {c: None for c in first if space.reason_against(c) is None}

    def propose(self, pending: Collection[Candidate] = ()) -> Candidate | None:
        """Return a valid candidate that was never observed, or ``None`` if none is left."""
        free = (candidate for candidate in self._first if candidate not in pending)
        first = next((c for c in free if self.space.reason_against(c) is None), None)
        return self.inner.propose(pending) if first is None else first

    def observe(self, candidate: Candidate, metrics: Mapping[str, float] | None) -> None:
        """Learn a candidate's metrics, or (``None``) that it cannot be built or measured."""
        self._first.pop(candidate, None)
        self.inner.observe(candidate, metrics)
