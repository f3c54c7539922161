"""The columns of a log: where its time, latency, status and features stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from paretune.search.deliver.watch.observation import Failed, Request
from paretune.spaces import StudyError

_UNITS = {"latency_ms": 1.0, "latency_s": 1e3, "latency_us": 1e-3, "latency_ns": 1e-6}
"""Milliseconds in a unit of latency, by the name that a column is given as."""

_LATEST_S = 1e11
"""A time above it is in milliseconds since 1970 and not in seconds: the year 5138."""

_FIRST_ERROR = 500
"""HTTP's lowest status of an error of the server; one of the client's is not the service's."""

_NO_ANSWER = (502, 503, 504)
"""HTTP's statuses by which a proxy says that nobody answered behind it."""


@dataclass(frozen=True)
class LogColumns:
    """Where a log has what a watch needs.

    Attributes:
        time: The column of the time: seconds or milliseconds since 1970, or ISO 8601.
        latency: The column of the latency.
        unit_ms: Milliseconds in a unit of that column.
        status: The column of HTTP's status; without such a column all requests were answered.
        features: The column of each feature whose column has another name than the feature.
    """

    time: str = "time"
    latency: str = "latency_ms"
    unit_ms: float = 1.0
    status: str = "status"
    features: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, named: Mapping[str, str]) -> LogColumns:
        """Return the columns that a person named.

        Args:
            named: The column by what it holds: ``time``, ``latency_ms`` (``_s``, ``_us``, ``_ns``),
                ``status``, or a feature of the bundle's ``reference.json``.

        Raises:
            StudyError: If two columns are latencies.
        """
        latencies = [name for name in named if name in _UNITS]
        if len(latencies) > 1:
            raise StudyError(
                f"a log has one column of latency, but {' and '.join(latencies)} are given: give "
                "one of them"
            )
        kind = latencies[0] if latencies else "latency_ms"
        others = {"time", "status", *_UNITS}
        return cls(
            named.get("time", "time"),
            named.get(kind, "latency_ms"),
            _UNITS[kind],
            named.get("status", "status"),
            {name: column for name, column in named.items() if name not in others},
        )

    def request(self, row: Mapping[str, Any], features: frozenset[str]) -> Request:
        """Return a row's request.

        Args:
            row: The row's values by column.
            features: The names of the features to look for.

        Raises:
            ValueError: If the time or the latency is missing or cannot be read.
        """
        failed = _failure(row.get(self.status))
        if self.time not in row:
            raise ValueError(f"there is no column {self.time!r} of the time")
        latency = row.get(self.latency)
        if failed is None and latency in (None, "", "-"):
            raise ValueError(f"there is no latency in the column {self.latency!r}")
        found = {name: row.get(self.features.get(name, name)) for name in features}
        known = {name: value for name, value in found.items() if value not in (None, "")}
        return Request(
            _seconds(row[self.time]),
            None if failed is not None or latency is None else _number(latency) * self.unit_ms,
            failed,
            features=known,
        )


def _number(value: Any) -> float:
    # nginx writes one time per upstream that it asked: the last one answered.
    return float(str(value).replace(":", ",").split(",")[-1])


def _seconds(value: Any) -> float:
    """Return a time in seconds since 1970."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        told = datetime.fromisoformat(str(value))
        return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    return number / 1e3 if number > _LATEST_S else number


def _failure(status: Any) -> Failed | None:
    if status in (None, ""):
        return None
    try:
        number = int(float(status))
    except ValueError:
        return None if str(status).lower() in ("ok", "success", "true") else Failed.ERROR
    if number in _NO_ANSWER or number == 0:
        return Failed.UNREACHABLE
    return Failed.ERROR if number >= _FIRST_ERROR else None
