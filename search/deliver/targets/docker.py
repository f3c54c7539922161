"""A container image around one of the Python servers, and replicas of it behind a balancer."""

from __future__ import annotations

import json
import math
from pathlib import Path

from paretune.search.deliver.service.compose import compose_yaml, nginx_conf
from paretune.search.deliver.service.kubernetes import kubernetes_name
from paretune.search.deliver.service.notes import NOTES, notes
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.requirements import python_version
from paretune.search.deliver.service.servers import DEFAULT_SERVER, Server, known_server
from paretune.search.deliver.service.written import write_files
from paretune.search.deliver.target import TARGETS, ExportSettings, TargetRecord
from paretune.search.record.words import counted

DOCKER = TargetRecord(
    name="docker",
    words="a Dockerfile with the measured versions, and replicas behind a load balancer",
    write="paretune.search.deliver.targets.docker:write_docker",
    hint="docker compose -f {out}/compose.yaml up --build",
    settings=("rate_per_s", "hit_rate", "max_latency_ms", "image", "server"),
)

_START_FACTOR = 10
"""Time until a container must be healthy ÷ measured start. Chosen by judgement."""

_SHORTEST_START_S = 30
"""Seconds that a container has at least until it must be healthy. Chosen by judgement."""


def write_docker(bundle: Path, out: Path, settings: ExportSettings) -> Path:
    """Write the context of an image, and a Compose file that runs as many as the rate needs.

    Versions are those of the manifest; each replica has cores of its own, as in the measurement.

    Raises:
        StudyError: If the server is unknown or cannot make a session of the point, or a rate is
            wished without a serving plan.
    """
    point = ServicePoint.of_bundle(bundle, settings)
    server, service = known_server(settings.server), kubernetes_name(point.name)
    inner = ExportSettings(
        settings.name, rate_per_s=settings.rate_per_s, max_latency_ms=settings.max_latency_ms
    )
    TARGETS.get(settings.server or DEFAULT_SERVER).export(bundle, out / "service", inner)
    cached = settings.hit_rate is not None
    image = settings.image or service
    files = {
        "Dockerfile": _dockerfile(point, server),
        ".dockerignore": "**/__pycache__\n",
        "compose.yaml": compose_yaml(point, service, image, server.port, balanced=_balanced(point)),
        NOTES: notes(
            point,
            f"docker compose -f {out}/compose.yaml up --build",
            f"--url http://127.0.0.1:8000 --protocol {server.protocol} --model {point.name}",
            _says(point, image, out, server),
        ),
    }
    if _balanced(point):
        files["nginx.conf"] = nginx_conf(point, service, server, cached=cached)
    write_files(out, files)
    return out / "Dockerfile"


def _balanced(point: ServicePoint) -> bool:
    return point.replicas > 1 or point.settings.hit_rate is not None


def _dockerfile(point: ServicePoint, server: Server) -> str:
    start_s = max(_SHORTEST_START_S, math.ceil(_START_FACTOR * point.start_ms / 1e3))
    check = (
        "import urllib.request as r; "
        f"r.urlopen('http://127.0.0.1:{server.port}{server.health}', timeout=2)"
    )
    return f"""\
# {point.origin}.
FROM python:{python_version(point)}-slim
WORKDIR /service
# The versions that were measured, in a layer of their own.
COPY service/requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY service/ .
RUN useradd --create-home service && chown -R service /service
USER service
EXPOSE {server.port}
HEALTHCHECK --interval=5s --timeout=3s --start-period={start_s}s CMD {_exec("python", "-c", check)}
# Give it {counted(point.cores, "core")} of its own: docker run --cpuset-cpus=0-{point.cores - 1}
CMD {_exec(*server.command)}
"""


def _exec(*words: str) -> str:
    """Return a command in Docker's form without a shell."""
    return json.dumps(words)


def _says(point: ServicePoint, image: str, out: Path, server: Server) -> list[str]:
    last = point.cores - 1
    says = [
        f"One replica: `docker build -t {image} {out}; docker run --cpuset-cpus=0-{last} "
        f"-p 8000:{server.port} {image}`.",
        "The server's own processes share these cores with the model: with a core to spare, give "
        "it one more.",
    ]
    if _balanced(point):
        says.append(
            f"nginx balances by least connections, and takes no core of a replica: it has core "
            f"{point.replicas * point.cores} of the machine."
        )
    return says
