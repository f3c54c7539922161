"""The reference of latency: what a service gave as published, and the limits from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY, USUAL_LATENCY
from paretune.search.deliver.live.live_record import RECORD, LiveRecord
from paretune.search.deliver.watch.e_detector import BASE_RATE
from paretune.search.deliver.watch.observation import Block
from paretune.spaces import StudyError

_ASSURANCE = 0.9
"""Probability that a limit from the reference's blocks holds (a tolerance limit). Chosen by
judgement.
"""

FEWEST_BLOCKS = 22
"""Fewest blocks from which a limit that at most 10 % of blocks exceed can be told with an assurance
of 90 %: 1 - 0.9 ** 22 = 0.90 (S. S. Wilks, "Determination of sample sizes for setting tolerance
limits", 1941).
"""

_SLOW_SHARE = 0.05
"""Share of requests beyond the p95."""

_MOST_REQUESTS = 160
"""Most requests in a block: then a slow-down is found after about a thousand. Chosen by
judgement.
"""


@dataclass(frozen=True)
class LatencyReference:
    """The latency that is as published, and the limits of a block's.

    A block's probability to be beyond each limit is at most
    :data:`~paretune.search.deliver.watch.e_detector.BASE_RATE` while nothing changes.

    Attributes:
        p50_ms: The median latency of a request.
        p95_ms: The 95th percentile.
        limit_ms: A block whose median is higher is an excess.
        slow_ms: A request that takes longer is slow.
        slow_share: A block with a higher share of slow requests is an excess.
        block_requests: Requests in a block.
        words: Where it comes from.
    """

    p50_ms: Statistic
    p95_ms: float
    limit_ms: float
    slow_ms: float
    slow_share: float
    block_requests: int
    words: str

    def excesses(self, block: Block) -> tuple[bool, bool]:
        """Return whether a block's median, and its share of slow requests, are excesses.

        A block without an answer exceeds nothing: that it has none is told by others.
        """
        if not block.count:
            return False, False
        return block.p50_ms > self.limit_ms, block.slow > self.slow_share * block.count

    def notice(self, tolerance: float) -> str:
        """Return what cannot be told because the reference varies too much; empty if nothing."""
        told = self.limit_ms / self.p50_ms.value - 1
        if told <= tolerance + 0.05:
            return ""
        return f"latency varies: a slow-down of the median below {told:.0%} cannot be told"

    @classmethod
    def of_samples(
        cls, latencies_ms: Sequence[float], tolerance: float, block_requests: int, words: str
    ) -> LatencyReference:
        """Return the reference of a series of requests in the order in which they were answered.

        The limit of a block's median is the higher of the tolerated median and an upper tolerance
        limit of the medians of the series' own blocks, so drift and clusters within the series
        count. If the blocks vary by more than the tolerance, larger ones are taken while there are
        enough of them.

        Args:
            latencies_ms: Latencies, warm-up left out.
            tolerance: How much slower is still as published, as a share.
            block_requests: Fewest requests in a block.
            words: Where they come from.

        Raises:
            StudyError: If there are fewer than :data:`FEWEST_BLOCKS` blocks of them.
        """
        series = np.asarray(latencies_ms, dtype=np.float64)
        if len(series) < FEWEST_BLOCKS * block_requests or not np.isfinite(series).all():
            raise StudyError(
                f"a reference takes at least {FEWEST_BLOCKS * block_requests} finite latencies "
                f"({FEWEST_BLOCKS} blocks of {block_requests}), but {words} has "
                f"{len(series)}: learn it from the service, with `--reference learn`"
            )
        p50, p95 = (float(value) for value in np.quantile(series, (0.5, 0.95)))
        allowed_ms, slow_ms = p50 * (1 + tolerance), p95 * (1 + tolerance)
        size = block_requests
        limit = _upper_limit(_medians(series, size))
        while limit > allowed_ms and 2 * size <= min(_MOST_REQUESTS, len(series) // FEWEST_BLOCKS):
            size *= 2
            limit = _upper_limit(_medians(series, size))
        slow = _blocks(series > slow_ms, size).mean(axis=1)
        return cls.of_blocks((p50, p95), _medians(series, size), slow, tolerance, size, words)

    @classmethod
    def of_blocks(
        cls,
        percentiles_ms: tuple[float, float],
        medians_ms: NDArray[np.float64],
        slow_shares: NDArray[np.float64],
        tolerance: float,
        block_requests: int,
        words: str,
    ) -> LatencyReference:
        """Return the reference of blocks that are already summarized.

        Args:
            percentiles_ms: The p50 and the p95 of all requests.
            medians_ms: The median of each block; at least :data:`FEWEST_BLOCKS`.
            slow_shares: In each block, the share of requests beyond the tolerated p95.
            tolerance: How much slower is still as published, as a share.
            block_requests: Fewest requests in a block.
            words: Where they come from.
        """
        p50, p95 = percentiles_ms
        low, high = median_interval(medians_ms)
        return cls(
            Statistic(p50, low, high),
            p95,
            max(p50 * (1 + tolerance), _upper_limit(medians_ms)),
            p95 * (1 + tolerance),
            max(_upper_limit(slow_shares), _slow_share(block_requests)),
            block_requests,
            words,
        )

    @classmethod
    def of_manifest(
        cls, manifest: Mapping[str, Any], tolerance: float, block_requests: int
    ) -> LatencyReference:
        """Return the reference of a local model, from the published intervals of its calls.

        Raises:
            StudyError: If the manifest has no latency.
        """
        try:
            p50 = Statistic(**manifest["metrics"][MEDIAN_LATENCY])
            p95 = Statistic(**manifest["metrics"][USUAL_LATENCY])
        except KeyError as error:
            raise StudyError(
                f"the manifest has no {error.args[0]}: learn a reference, with `--reference learn`"
            ) from None
        return cls(
            p50,
            p95.value,
            p50.ends[1] * (1 + tolerance),
            p95.ends[1] * (1 + tolerance),
            _slow_share(block_requests),
            block_requests,
            "the manifest's published intervals",
        )

    @classmethod
    def of_live(
        cls, bundle: Path, tolerance: float, block_requests: int
    ) -> LatencyReference | None:
        """Return the reference from the bundle's live verification; ``None`` if there was none.

        Raises:
            StudyError: If its record cannot be read or has too few latencies.
        """
        record = LiveRecord.of_bundle(bundle)
        if record is None:
            return None
        words = f"{RECORD}, verified at {record.url}"
        return cls.of_samples(record.latency_ms, tolerance, block_requests, words)


def _blocks(series: NDArray[Any], size: int) -> NDArray[Any]:
    count = len(series) // size
    return series[: count * size].reshape(count, size)


def _medians(series: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.asarray(np.median(_blocks(series, size), axis=1))


def _upper_limit(values: NDArray[np.float64]) -> float:
    """Return a limit that at most 10 % of further values exceed, with an assurance of 90 %.

    It is the lowest order statistic that has it (Wilks, 1941), whatever the distribution.
    """
    from scipy.stats import binom

    above = np.arange(len(values))  # of the values themselves, above the candidate
    assured = binom.sf(above, len(values), BASE_RATE) >= _ASSURANCE
    most = int(above[assured].max(initial=0))
    return float(np.sort(values)[len(values) - 1 - most])


def median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the median: order statistics, whatever the distribution."""
    from scipy.stats import binom

    ranked = np.sort(values)
    left_out = max(0, int(binom.ppf(0.025, len(values), 0.5)) - 1)
    return float(ranked[left_out]), float(ranked[len(ranked) - 1 - left_out])


def _slow_share(size: int) -> float:
    """Return the share of slow requests that at most 5 % of blocks exceed if they are independent.

    Half of what may exceed it: requests in a block are rarely independent.
    """
    from scipy.stats import binom

    return float(binom.ppf(1 - BASE_RATE / 2, size, _SLOW_SHARE)) / size
