"""The reference's speed: a compressed model that is slower than it is not worth its quality."""

from __future__ import annotations

from collections.abc import Sequence

from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord

_THROUGHPUT = "throughput_samples_per_s"


class ReferenceSpeed:
    """Tells whether a compressed model is slower than the uncompressed one.

    Values of one kind are compared, never a confirmed one with one of the search. The rule is the
    first of these for which there is something to compare with:

    1. The latency of a confirmed point against that of the fastest uncompressed point which was
       confirmed at the same batch size.
    2. The latency that the search measured against that of the fastest uncompressed trial which the
       search measured at the same batch size.
    3. Against the baseline at its own batch size, both confirmed or else both as the search
       measured them: it is slower if a call takes longer and fewer samples are done in a second. A
       larger batch alone makes a call longer, and a smaller one alone does fewer samples.

    Args:
        fresh: All confirmed points, with their confirmed values; empty without a confirmation.
        history: The study.
        latency_metric: The latency that is meant.
    """

    def __init__(self, fresh: Sequence[TrialRecord], history: History, latency_metric: str) -> None:
        self._latency = latency_metric
        kinds = (fresh, history.measured)
        self._values = [{r.number: r.metrics for r in records} for records in kinds]
        self._references = [_fastest(records, latency_metric) for records in kinds]

    def beats(self, record: TrialRecord) -> bool:
        """Tell whether the reference is faster than a point.

        Returns:
            ``False`` for what is not compressed, or if there is no reference.
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
                return takes_longer and own[_THROUGHPUT] < base[_THROUGHPUT]
        return False


def _fastest(records: Sequence[TrialRecord], latency_metric: str) -> dict[int, float]:
    """Return the least latency of uncompressed models, by batch size."""
    found: dict[int, float] = {}
    for record in records:
        if not record.candidate.build.is_compressed:
            size, value = record.candidate.run.batch_size, record.metrics[latency_metric]
            found[size] = min(value, found.get(size, value))
    return found
