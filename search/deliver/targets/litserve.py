"""A service by LitServe: a Python file that batches and runs instances side by side."""

from __future__ import annotations

from pathlib import Path

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.python_service import write_python_target
from paretune.search.deliver.target import ExportSettings, TargetRecord

LITSERVE = TargetRecord(
    name="litserve",
    words="a service by LitServe: server.py and what it needs",
    write="paretune.search.deliver.targets.litserve:write_litserve",
    hint="pip install -r {out}/requirements.txt; python {out}/server.py 8000",
    settings=("rate_per_s", "max_latency_ms"),
)

REQUIREMENTS = ["litserve==0.2.19"]
"""The release that the exported file is tested with."""


def write_litserve(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write a service for LitServe: batches of at most ``max_batch_size`` requests.

    Workers are instances; ``batch_timeout`` is the queue delay (LitServe's ``LitAPI``).

    Raises:
        StudyError: If no Python service makes a session of the point.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    start = f"python {out}/server.py 8000"
    return write_python_target(point, out, "litserve_server.py", REQUIREMENTS, start)
