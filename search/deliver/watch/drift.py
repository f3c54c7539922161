"""Drift: do inputs or outputs look different from the reference?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from paretune.search.deliver.watch.data_reference import DataReference, Feature
from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.observation import Request
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.track import Track, Turn

_LEAST_INDEX = 0.1
"""Population stability index below which a difference does not matter, however certain it is: the
usual limit between "no change" and "some change" (N. Siddiqi, Credit Risk Scorecards, 2006).
"""

_CHANCE = 0.01
"""Probability that some feature of a window looks different by chance: a tenth of the detector's
base rate, because the reference's own error is common to all windows. By Markov's inequality, at
most one reference in ten makes a window's probability higher than the base rate.
"""


class DriftWatch:
    """Compares windows of requests with the reference.

    A window is an excess if the two-sample chi-square test of some feature rejects, at a level that
    is shared among the features, and the feature's population stability index is at least 0.1. The
    windows are the observations of an e-detector, so the rate of false alarms holds although they
    are looked at again and again.

    Args:
        reference: What inputs and outputs looked like.
        settings: How to decide.
        kinds: How many kinds of change are watched together.

    Attributes:
        indices: The population stability index of each feature in the last window.
    """

    def __init__(self, reference: DataReference, settings: WatchSettings, kinds: int) -> None:
        self._reference, self._settings = reference, settings
        self._track = Track(
            kinds * settings.false_alarm_every / settings.drift_window, settings.spike_s, tests=1
        )
        self._counts: dict[str, Counter[str]] = {}
        self._count, self._start_s = 0, 0.0
        self.indices: dict[str, float] = {}

    @property
    def is_drifted(self) -> bool:
        """Whether a drift was told that is not over."""
        return self._track.is_changed

    def see(self, request: Request) -> list[Event]:
        """Take a request whose inputs or outputs are known."""
        known = {n: v for n, v in request.features.items() if n in self._reference.features}
        if not known:
            return []
        if not self._count:
            self._start_s = request.time_s
        self._count += 1
        for name, value in known.items():
            feature = self._reference.features[name]
            self._counts.setdefault(name, Counter())[_bin(feature, value)] += 1
        if self._count < self._settings.drift_window:
            return []
        different = self._different()
        start_s, self._count, self._counts = self._start_s, 0, {}
        turn = self._track.see([bool(different)], start_s, request.time_s)
        return [] if turn is None else [self._event(turn, different, request.time_s)]

    def _different(self) -> list[str]:
        """Return the features that differ in the window, the most different one first."""
        from scipy.stats import chi2

        level = _CHANCE / max(1, len(self._counts))
        self.indices, found = {}, []
        for name, counts in self._counts.items():
            feature = self._reference.features[name]
            statistic, degrees = two_sample(counts, feature, self._reference.samples)
            index = self.indices[name] = stability_index(counts, feature)
            if index >= _LEAST_INDEX and statistic > float(chi2.isf(level, max(1, degrees))):
                found.append(name)
        return sorted(found, key=self.indices.__getitem__, reverse=True)

    def _event(self, turn: Turn, different: list[str], now: float) -> Event:
        since = self._start_s if self._track.since_s is None else self._track.since_s
        requests = self._track.length * self._settings.drift_window
        told = different or sorted(self.indices, key=self.indices.__getitem__, reverse=True)[:1]
        what = "outputs" if told and all(name.startswith("output") for name in told) else "inputs"
        if turn is not Turn.CHANGED:
            text = "as in the reference" if turn is Turn.RECOVERED else "over by itself"
            kind = Kind.RECOVERED if turn is Turn.RECOVERED else Kind.SPIKE
            return Event(kind, "inputs and outputs", now, since, text, requests)
        names = [f"{name} (stability index {self.indices[name]:.2f})" for name in told[:3]]
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        text = f"{', '.join(names)}{more} differ from the reference's {self._reference.samples}"
        return Event(Kind.DRIFTED, what, now, since, f"{text} samples", requests)


def two_sample(
    counts: Mapping[str, int], feature: Feature, reference_samples: int
) -> tuple[float, int]:
    """Return the two-sample chi-square statistic of a window, and its degrees of freedom.

    Bins that both lack are left out, so a class that the reference never saw counts.
    """
    window = sum(counts.values())
    names = [
        name for name in {*counts, *feature.shares} if counts.get(name) or feature.shares.get(name)
    ]
    statistic = 0.0
    for name in names:
        there = feature.shares.get(name, 0.0) * reference_samples
        here = counts.get(name, 0)
        root = math.sqrt(reference_samples / window)
        statistic += (here * root - there / root) ** 2 / (here + there)
    return statistic, len(names) - 1


def stability_index(counts: Mapping[str, int], feature: Feature) -> float:
    """Return the population stability index of a window; 0 if its shares are the reference's.

    A half is added to each count, so that an empty bin has a share.
    """
    names = sorted({*counts, *feature.shares})
    window = sum(counts.values()) + 0.5 * len(names)
    total = 0.0
    for name in names:
        here = (counts.get(name, 0) + 0.5) / window
        there = max(feature.shares.get(name, 0.0), 0.5 / window)
        total += (here - there) * math.log(here / there)
    return total


def _bin(feature: Feature, value: float | str) -> str:
    try:
        return feature.bin_of(value)
    except ValueError:  # a text where a number should be
        return "not a number"
