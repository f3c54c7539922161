"""A service by BentoML: an API server, and workers for which it gathers requests."""

from __future__ import annotations

from pathlib import Path

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.python_service import write_python_target
from paretune.search.deliver.target import ExportSettings, TargetRecord

BENTOML = TargetRecord(
    name="bentoml",
    words="a service by BentoML: server.py and what it needs",
    write="paretune.search.deliver.targets.bentoml:write_bentoml",
    hint="pip install -r {out}/requirements.txt; cd {out} && bentoml serve server:Service "
    "--port 8000",
    settings=("rate_per_s", "max_latency_ms"),
)

REQUIREMENTS = ["bentoml==1.4.40"]
"""The release that the exported file is tested with."""

_SAYS = (
    "BentoML has no queue delay: it learns how long to wait for more requests. It refuses with "
    "HTTP 503 what it expects to take ten times the latency budget (`max_latency_ms`).",
)


def write_bentoml(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write a service for BentoML: an API server in front of a batching service of instances.

    Raises:
        StudyError: If no Python service makes a session of the point.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    start = f"cd {out} && bentoml serve server:Service --port 8000"
    return write_python_target(point, out, "bentoml_server.py", REQUIREMENTS, start, _SAYS)
