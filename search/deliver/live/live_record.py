"""``live.json`` in a bundle: what a service gave when it was deployed, to compare with later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.bundle_folder import read_versioned
from paretune.search.deliver.live.one_client import OneClient

RECORD = "live.json"
"""The record's file in a bundle."""

LIVE_VERSION = 1
"""Raise it when a reader of older records would misread a new one."""

_VERSION = "live_version"


@dataclass(frozen=True)
class LiveRecord:
    """A service's times at one client, as they were when they were saved.

    Attributes:
        url: The service's address.
        protocol: How it was asked.
        model: The model's name there.
        measured_at: When, in UTC (ISO 8601).
        request_samples: Samples of a request of ``latency_ms``.
        latency_ms: Milliseconds of each of these requests, in order.
        throughput_per_s: Samples per second of that client.
        network_ms: The median round trip without the model; ``None`` if there is no such request.
        latencies: The p50 and p95 with their intervals, by samples of a request and metric.
    """

    url: str
    protocol: str
    model: str
    measured_at: str
    request_samples: int
    latency_ms: Sequence[float]
    throughput_per_s: float
    network_ms: float | None
    latencies: Mapping[int, Mapping[str, Statistic]]

    @classmethod
    def of(cls, url: str, protocol: str, model: str, clients: Sequence[OneClient]) -> LiveRecord:
        """Return the record of what was measured now.

        Args:
            url: The service's address.
            protocol: How it was asked.
            model: The model's name there.
            clients: The client's times by size of a request, the smallest first.
        """
        first = clients[0]
        network = first.network_ms
        return cls(
            url,
            protocol,
            model,
            datetime.now(UTC).isoformat(timespec="seconds"),
            first.size,
            [time for times in first.times_ms for time in times],
            first.throughput_per_s,
            None if network is None else network.value,
            {each.size: each.statistics for each in clients},
        )

    def save(self, folder: Path) -> Path:
        """Write it into a bundle's folder, and return the file."""
        path = folder / RECORD
        values = {_VERSION: LIVE_VERSION, **asdict(self)}
        values["latency_ms"] = [round(time, 4) for time in self.latency_ms]
        path.write_text(json.dumps(values) + "\n", "utf-8")
        return path

    @classmethod
    def of_bundle(cls, folder: Path) -> LiveRecord | None:
        """Return a bundle's record, or ``None`` if no service of it was saved.

        Raises:
            StudyError: If this version cannot read it.
        """
        remedy = f"save it again with `paretune verify {folder} --url … --save`"
        return read_versioned(folder / RECORD, _VERSION, LIVE_VERSION, cls.from_dict, remedy)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LiveRecord:
        """Return the record from plain values, as :meth:`save` writes them beside the version."""
        latencies = {
            int(size): {name: Statistic(**each) for name, each in found.items()}
            for size, found in values["latencies"].items()
        }
        return cls(**{**values, "latencies": latencies})
