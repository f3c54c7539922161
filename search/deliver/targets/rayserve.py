"""A service by Ray Serve: replicas of a deployment that batch."""

from __future__ import annotations

from pathlib import Path

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.python_service import write_python_target
from paretune.search.deliver.target import ExportSettings, TargetRecord

RAYSERVE = TargetRecord(
    name="rayserve",
    words="a service by Ray Serve: server.py and what it needs",
    write="paretune.search.deliver.targets.rayserve:write_rayserve",
    hint="pip install -r {out}/requirements.txt; cd {out} && serve run server:app",
    settings=("rate_per_s", "max_latency_ms"),
)

REQUIREMENTS = ["ray[serve]==2.60.0"]
"""The release that the exported file is tested with."""

_SAYS = (
    "Ray calls an instance a replica. It picks, of two replicas drawn by chance, the one with the "
    "shorter queue.",
)


def write_rayserve(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write a service for Ray Serve: ``num_replicas`` instances, each with its own batch queue.

    Raises:
        StudyError: If no Python service makes a session of the point.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    start = f"cd {out} && serve run server:app"
    return write_python_target(point, out, "rayserve_server.py", REQUIREMENTS, start, _SAYS)
