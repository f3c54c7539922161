"""Corrections of the surrogates: doubt where they are overconfident, bounds where they err."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.search.record.objective import Objective
from paretune.spaces import REFERENCE, BuildSpec, Candidate

Array = NDArray[np.float64]

_MARGIN = 0.01
"""Doubt about the quality of a new training, as a share of the baseline's. Chosen by judgement."""

# A width that does not suit a machine's vector units cost a quarter of the time: log(1.25).
_SURPRISE = 0.22
_DOUBT = 0.4
"""Uncertainty of an unmeasured build's expected loss of quality, as a share of that loss.

Evidence, benchmarks/evening.py, both workloads: on seeds 10 to 21, the number of searches (of 24
with a wish) that found nothing to match it was 3 at 0, none at 0.3 and 0.5, and 2 at 1; on seeds 22
to 45 it was 3 of 48 at 0.3, and 1 at 0.4.
"""


def training_of(candidate: Candidate) -> tuple[str, float]:
    """Return the training of a candidate: its student and pruning ratio."""
    return candidate.build.student, candidate.build.pruning_ratio


def surprises(
    pool: Sequence[Candidate], known: Collection[Candidate], objectives: Sequence[Objective]
) -> Array:
    """Return extra standard deviations for new trainings, of shape (pool, objectives).

    The first artifact of a training can surprise: a width may suit the machine or not.

    Args:
        pool: Candidates.
        known: The candidates tried so far.
        objectives: The goals.
    """
    trained = {training_of(candidate) for candidate in known}
    is_new = np.array([training_of(candidate) not in trained for candidate in pool], dtype=float)
    sizes = [_SURPRISE if goal.is_ratio_scale else _MARGIN for goal in objectives]
    return np.outer(is_new, sizes)


def doubts(
    pool: Sequence[Candidate],
    known: Mapping[Candidate, Mapping[str, float] | None],
    objectives: Sequence[Objective],
    quality_metric: str,
    means: Array,
    baseline: Mapping[str, float],
) -> Array:
    """Return extra deviations for builds never measured: shape (pool, objectives).

    After a few builds, a surrogate is far too sure of the others; compared with a limit on quality,
    it would rule out builds that turn out to keep the limit.

    Args:
        pool: Candidates.
        known: Metrics of what was tried, ``None`` where it failed.
        objectives: The goals.
        quality_metric: The one that this is true of.
        means: Expected losses of the pool, with the result's shape.
        baseline: The baseline's metrics, from which losses of quality count.
    """
    builds = {candidate.build for candidate, metrics in known.items() if metrics}
    is_new = np.array([candidate.build not in builds for candidate in pool], dtype=float)
    found = np.zeros_like(means)
    for column, goal in enumerate(objectives):
        if goal.metric == quality_metric:
            lost = np.abs(means[:, column] - goal.loss(baseline[quality_metric]))
            found[:, column] = _DOUBT * is_new * lost
    return found


def least_losses(
    pool: Sequence[Candidate],
    known: Mapping[Candidate, Mapping[str, float] | None],
    objectives: Sequence[Objective],
    quality_metric: str,
) -> Array:
    """Return lower bounds on the candidates' losses, of shape (pool, objectives).

    A build is hardly better than a measured build that is compressed less.

    Args:
        pool: Candidates.
        known: Metrics of what was tried, ``None`` where it failed; at least one was measured.
        objectives: The goals.
        quality_metric: The one that this is true of.
    """
    least = np.full((len(pool), len(objectives)), -np.inf)
    for column, goal in enumerate(objectives):
        if goal.metric != quality_metric:
            continue
        best: dict[BuildSpec, float] = {}
        for candidate, metrics in known.items():
            if metrics:
                loss = goal.loss(metrics[goal.metric])
                best[candidate.build] = min(loss, best.get(candidate.build, loss))
        margin = _MARGIN * abs(next(iter(best.values())))
        by_student: dict[str, list[BuildSpec]] = {}
        for build in best:
            by_student.setdefault(build.student, []).append(build)
        of_build = {
            build: max(
                (
                    best[other]
                    for student in {build.student, REFERENCE}  # no other is compressed less
                    for other in by_student.get(student, ())
                    if other.is_compressed_less(build)
                ),
                default=-np.inf,
            )
            for build in {candidate.build for candidate in pool}
        }
        least[:, column] = [of_build[candidate.build] - margin for candidate in pool]
    return least
