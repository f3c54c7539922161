"""Prometheus as a source: the latencies that a model server has counted into buckets."""

from __future__ import annotations

import itertools
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from paretune.search.deliver.watch.sources.bucket_blocks import Buckets
from paretune.spaces import StudyError

_TIMEOUT_S = 30.0
"""Seconds to wait for an answer of Prometheus. Chosen by judgement."""

_MOST_POINTS = 10_000
"""Points that one range query asks for: Prometheus gives at most 11,000 per series."""


class PrometheusSource:
    """Asks a Prometheus server for a histogram of latency, step by step.

    Args:
        url: Prometheus's address, such as ``http://localhost:9090``.
        histogram: The selector of the histogram's buckets, such as
            ``ovms_request_time_us_bucket{name="iris"}``: cumulative counters with a label ``le``.
        unit_ms: Milliseconds in a unit of its bounds.
        step_s: Seconds of a step; at least as long as Prometheus waits between two scrapes.
        headers: Sent with each query, such as for authorization.
    """

    def __init__(
        self,
        url: str,
        histogram: str,
        unit_ms: float,
        step_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url, self._headers = url.rstrip("/"), dict(headers or {})
        self._query = f"sum by (le) ({histogram})"
        self._resets = f"sum(resets({histogram}[{max(1, math.ceil(2 * step_s))}s]))"
        self._unit_ms, self._step_s = unit_ms, step_s

    def between(self, start_s: float, end_s: float) -> list[Buckets]:
        """Return the steps between two times, each with its own requests.

        A step without requests is left out.

        Raises:
            StudyError: If Prometheus cannot be asked, refuses the query, or has no such buckets.
        """
        found: list[Buckets] = []
        width = _MOST_POINTS * self._step_s
        while start_s < end_s:
            found += self._page(start_s, min(end_s, start_s + width))
            start_s += width
        return found

    def follow(self, since_s: float, stop: Callable[[], bool]) -> Iterator[list[Buckets]]:
        """Yield the new steps as they come, until ``stop`` says so.

        The list is empty where Prometheus could not be asked, or had nothing new.
        """
        while not stop():
            now = math.floor(time.time() / self._step_s) * self._step_s
            if now > since_s:
                try:
                    steps = self._page(since_s, now)
                except StudyError:
                    steps = []
                if steps:
                    since_s = steps[-1].end_s
                yield steps
            until = time.time() + self._step_s
            while not stop() and time.time() < until:
                time.sleep(min(0.2, self._step_s))

    def _page(self, start_s: float, end_s: float) -> list[Buckets]:
        series = self._range(self._query, start_s, end_s)
        if not series:
            raise StudyError(
                f"Prometheus at {self._url} has no series for {self._query} between "
                f"{start_s:.0f} and {end_s:.0f}: is the server scraped, and is its name right? "
                "Give the histogram with --query"
            )
        cumulative = _by_bound(series, self._unit_ms)
        bounds = tuple(sorted(cumulative))
        if not math.isinf(bounds[-1]):
            raise StudyError(
                f'the answer to {self._query} has no bucket `le="+Inf"`: a histogram\'s buckets '
                "are needed, whose name ends with _bucket"
            )
        restarts = {
            at for at, count in _points(self._range(self._resets, start_s, end_s)) if count > 0
        }
        times = sorted({at for values in cumulative.values() for at in values})
        steps = []
        for before, at in itertools.pairwise(times):
            grown = [cumulative[b].get(at, 0.0) - cumulative[b].get(before, 0.0) for b in bounds]
            # Sums over instances: one that went away takes its counts with it.
            has_restarted = min(grown) < 0 or at in restarts
            if grown[-1] > 0 or has_restarted:
                counts = _ascending([0.0] * len(grown) if min(grown) < 0 else grown)
                steps.append(Buckets(before, at, bounds, counts, has_restarted))
        return steps

    def _range(self, query: str, start_s: float, end_s: float) -> list[Mapping[str, Any]]:
        values = {"query": query, "start": start_s, "end": end_s, "step": self._step_s}
        url = f"{self._url}/api/v1/query_range?{urllib.parse.urlencode(values)}"
        if not url.startswith(("http://", "https://")):
            raise StudyError(f"Prometheus's address must begin with http:// or https://: {url}")
        request = urllib.request.Request(url, headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")[:300]
            raise StudyError(f"Prometheus refused {query}: {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise StudyError(f"cannot ask Prometheus at {self._url}: {error}") from error
        result: list[Mapping[str, Any]] = told["data"]["result"]
        return result


def _by_bound(
    series: Sequence[Mapping[str, Any]], unit_ms: float
) -> dict[float, dict[float, float]]:
    """Return the cumulative counts by upper bound in milliseconds, then by time."""
    found: dict[float, dict[float, float]] = {}
    for each in series:
        bound = float(each["metric"].get("le", "nan")) * unit_ms
        if not math.isnan(bound):
            found[bound] = {float(at): float(count) for at, count in each["values"]}
    if not found:
        raise StudyError("the answer of Prometheus has no label `le`: give a histogram's _bucket")
    return found


def _points(series: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, float]]:
    for each in series:
        for at, value in each["values"]:
            yield float(at), float(value)


def _ascending(counts: Sequence[float]) -> tuple[float, ...]:
    """Return cumulative counts that never fall: scrapes of instances may be apart."""
    highest, found = 0.0, []
    for count in counts:
        highest = max(highest, count)
        found.append(highest)
    return tuple(found)
