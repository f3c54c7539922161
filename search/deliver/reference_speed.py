"""The reference's speed: a compressed model that is slower is not worth its quality."""

from __future__ import annotations

from collections.abc import Sequence

from paretune.runners.metric import THROUGHPUT
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord


class ReferenceSpeed:
    """Tells whether a compressed model is slower than the uncompressed one.

    Only values of one kind are compared, never a confirmed value with one of the search. The first
    of these rules with something to compare applies:

    1. The latency of a confirmed point against that of the fastest uncompressed point that was
       confirmed at the same batch size.
    2. The search's latency against that of the fastest uncompressed trial that the search measured
       at the same batch size.
    3. The baseline at its own batch size, with both values confirmed or both from the search: the
       point is slower if a call takes longer and throughput is lower. (A larger batch alone makes a
       call longer, and a smaller batch alone lowers throughput.)

    Args:
        fresh: All confirmed points, with their confirmed values; empty without a confirmation.
        history: The study.
        latency_metric: The latency to compare.
    """

    def __init__(self, fresh: Sequence[TrialRecord], history: History, latency_metric: str) -> None:
        self._latency = latency_metric
        kinds = (fresh, history.measured)
        timed = [[each for each in records if latency_metric in each.metrics] for records in kinds]
        self._values = [{r.number: r.metrics for r in records} for records in timed]
        self._references = [_fastest(records, latency_metric) for records in timed]

    def beats(self, record: TrialRecord) -> bool:
        """Tell whether the reference is faster than a point.

        Returns:
            ``False`` for an uncompressed point, or without a reference.
        """
        if not record.candidate.build.is_compressed:
            return False
        size = record.candidate.run.batch_size
        for values, references in zip(self._values, self._references, strict=True):
            if record.number in values and size in references:
                return values[record.number][self._latency] > references[size]
        for values in self._values:
            if record.number in values and 0 in values:
                own, base = values[record.number], values[0]
                takes_longer = own[self._latency] > base[self._latency]
                return takes_longer and own[THROUGHPUT] < base[THROUGHPUT]
        return False


def _fastest(records: Sequence[TrialRecord], latency_metric: str) -> dict[int, float]:
    """Return the lowest latency of uncompressed models, by batch size."""
    found: dict[int, float] = {}
    for record in records:
        if not record.candidate.build.is_compressed:
            size, value = record.candidate.run.batch_size, record.metrics[latency_metric]
            found[size] = min(value, found.get(size, value))
    return found
