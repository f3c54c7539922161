"""The fresh check: a picked point is measured again before it is handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paretune.runners.failure import Failure
from paretune.runners.measure.measurement import Measurement
from paretune.runners.metric import is_quality
from paretune.search.deliver.recheck import Recheck, rechecks
from paretune.search.record.objective import Constraint
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric
from paretune.spaces import StudyError

MOST_TRIED = 5
"""Points that are measured again before a pick gives up. Chosen by judgement."""

USUAL_TIME = "half a minute to two minutes, longer while other work disturbs it"
"""How long one measurement takes, in words."""


@dataclass(frozen=True)
class Kept:
    """A point that kept its limits when measured again.

    Attributes:
        record: The point.
        measurement: The new measurement.
        broken: For each earlier point, why it was not taken.
    """

    record: TrialRecord
    measurement: Measurement
    broken: tuple[str, ...]

    @property
    def rechecks(self) -> dict[str, Recheck]:
        """The new measurement compared with the published values, by metric."""
        return rechecks(self.record, self.measurement)


def first_that_keeps(
    ranked: Sequence[TrialRecord],
    limits: Sequence[Constraint],
    measure: Callable[[TrialRecord], Measurement | Failure],
) -> Kept:
    """Measure points in order until one keeps its limits.

    Args:
        ranked: The points, beginning with the one to pick; at most five are tried.
        limits: The limits of the wish. Quality is not measured again: it belongs to the file.
        measure: Times a point.

    Raises:
        StudyError: If none keeps them, with the values of each.
    """
    broken: list[str] = []
    for record in ranked[:MOST_TRIED]:
        outcome = measure(record)
        if isinstance(outcome, Failure):
            broken.append(f"trial {record.number} does not run here: {outcome.message}")
            continue
        missed = [
            f"{limit.metric} is {format_metric(limit.metric, outcome.metrics[limit.metric])} now "
            f"(published: {format_metric(limit.metric, record.metrics[limit.metric])}; "
            f"limit: {format_metric(limit.metric, limit.bound)})"
            for limit in limits
            if not is_quality(limit.metric)
            and limit.metric in outcome.metrics
            and limit.violation(outcome.metrics[limit.metric]) > 0
        ]
        if not missed:
            return Kept(record, outcome, tuple(broken))
        broken.append(f"trial {record.number}: {', '.join(missed)}")
    raise StudyError(
        "no point keeps its limits on this machine now:\n  "
        + "\n  ".join(broken)
        + "\nIs something else running? If not, `paretune confirm` measures the frontier again; "
        "--no-measure picks by the published values"
    )
