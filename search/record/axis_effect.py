"""What an axis of running does to a time, learned from all trials of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.spaces.axes import Value

LEAST_EFFECT = 0.1
"""Relative change of a time below which an axis does not count: ten times the resolution of times.
Chosen by judgement.
"""

_SURE = 0.05
"""Chance, over all axes of the study together, at which a change that is none is taken for one."""

_PRIOR_SPREAD = 0.1
"""Standard deviation of the logarithm of one time between trials, before any were seen. Chosen by
judgement: trials of one model on a machine in use differ by several per cent.
"""

_PRIOR_DEGREES = 2
"""Degrees of freedom of that: it counts as much as three trials. Chosen by judgement."""

_SAME = 1e-6
"""Relative difference of two chances below which two axes divide the trials alike."""


@dataclass(frozen=True)
class AxisEffect:
    """An axis that changes a time.

    Attributes:
        axis: Its name.
        value: The other value of it with which the time is shortest.
        ratio: The time with that value ÷ that with the point's own: below 1 it is shorter.
    """

    axis: str
    value: Value
    ratio: float


def axis_effects(name: str, record: TrialRecord, history: History) -> list[AxisEffect]:
    """Return the further axes of running that change a time, the surest first.

    For each axis, the logarithms of the time are compared between its values by an analysis of
    variance, over the trials with the point's batch size; which model they run is of no account. As
    a study has few trials, the variance within a value is moderated by an assumed one (Smyth,
    "Linear models and empirical Bayes methods", 2004, https://doi.org/10.2202/1544-6115.1027), and
    the chance of an error is divided among the axes (Bonferroni). Two axes that were always changed
    together cannot be told apart: then neither is named.

    Args:
        name: The metric of the time.
        record: The point, from whose values the axes would be changed.
        history: The study.

    Returns:
        Axes that surely change it by a tenth or more; none if too few trials tell.
    """
    size = record.candidate.run.batch_size
    timed = [
        each
        for each in history.measured
        if each.candidate.run.batch_size == size and each.metrics.get(name, 0.0) > 0
    ]
    own = dict(record.candidate.run.options)
    chances: dict[str, float] = {}
    effects: dict[str, AxisEffect] = {}
    for axis, at in own.items():
        groups: dict[Value, list[float]] = {}
        for each in timed:
            options = dict(each.candidate.run.options)
            if axis in options:
                groups.setdefault(options[axis], []).append(float(np.log(each.metrics[name])))
        if at not in groups or len(groups) == 1:
            continue
        ratios = {
            value: float(np.exp(np.mean(times) - np.mean(groups[at])))
            for value, times in groups.items()
            if value != at
        }
        best = min(ratios, key=lambda value: ratios[value])
        if any(abs(ratio - 1) > LEAST_EFFECT for ratio in ratios.values()):
            chances[axis] = _chance([*groups.values()])
            effects[axis] = AxisEffect(axis, best, ratios[best])
    sure = [axis for axis, chance in chances.items() if chance * len(own) < _SURE]
    apart = [axis for axis in sure if not _has_twin(axis, chances)]
    return [effects[axis] for axis in sorted(apart, key=lambda axis: chances[axis])]


def _chance(groups: Sequence[Sequence[float]]) -> float:
    """Return the chance that means differ so much though all groups are alike: the F test."""
    from scipy.stats import f

    everything = np.concatenate([np.asarray(group) for group in groups])
    mean = everything.mean()
    between = sum(len(group) * (np.mean(group) - mean) ** 2 for group in groups)
    within = sum(float(((np.asarray(g) - np.mean(g)) ** 2).sum()) for g in groups)
    degrees = len(everything) - len(groups) + _PRIOR_DEGREES
    variance = (within + _PRIOR_DEGREES * _PRIOR_SPREAD**2) / degrees
    chance: float = f.sf(between / (len(groups) - 1) / variance, len(groups) - 1, degrees)
    return chance


def _has_twin(axis: str, chances: dict[str, float]) -> bool:
    own = chances[axis]
    return any(
        other != axis and abs(chance - own) <= _SAME * own for other, chance in chances.items()
    )
