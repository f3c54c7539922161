"""Replicas on one machine: a Compose file, and nginx in front of them."""

from __future__ import annotations

import math
from typing import Any

import yaml

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.servers import Server
from paretune.search.record.words import counted

_NGINX = "nginx:1.29-alpine"
"""The balancer's image."""

_MIB = 1 << 20
"""Bytes in a MiB, the unit of the limits."""

_MEMORY_FACTOR = 1.5
"""Memory limit ÷ measured memory; as on Kubernetes. Chosen by judgement."""

_SERVER_BYTES = 512 << 20
"""Bytes of memory for the server around the model. Chosen by judgement."""

_BODY_MIB = 16
"""Largest request in MiB; nginx reads it into memory to find its answer. Chosen by judgement."""


def compose_yaml(
    point: ServicePoint, service: str, image: str, port: int, *, balanced: bool
) -> str:
    """Return a Compose file with as many replicas as the wished rate needs.

    Each replica is a service of its own, because each is pinned to cores of its own.

    Args:
        point: The point.
        service: The service's name; replicas are numbered.
        image: The image's name.
        port: The port that the server listens on.
        balanced: Whether nginx stands in front of them.

    Raises:
        StudyError: If a rate is wished without a serving plan.
    """
    memory = math.ceil((point.memory_bytes * _MEMORY_FACTOR + _SERVER_BYTES) / _MIB)
    services: dict[str, Any] = {}
    for place in range(point.replicas):
        first = place * point.cores
        services[f"{service}-{place + 1}"] = {
            "image": image,
            **({"build": "."} if place == 0 else {}),
            "cpuset": _cores(first, point.cores),
            "mem_limit": f"{memory}m",
            **({"gpus": "all"} if point.is_on_nvidia else {}),
            "restart": "unless-stopped",
            **({} if balanced else {"ports": [f"8000:{port}"]}),
        }
    names = list(services)
    if balanced:
        services["balancer"] = {
            "image": _NGINX,
            "volumes": ["./nginx.conf:/etc/nginx/nginx.conf:ro"],
            "ports": ["8000:8000"],
            "cpuset": str(point.replicas * point.cores),
            "depends_on": {name: {"condition": "service_healthy"} for name in names},
            "restart": "unless-stopped",
        }
    header = [f"{point.origin}."]
    rate = point.settings.rate_per_s
    if rate is not None:
        header.append(
            f"{point.replicas} replicas of {counted(point.cores, 'core')} for {rate:g} requests/s."
        )
    header.append("Cores are numbered as on one machine; change cpuset where it has others.")
    text = "".join(f"# {line}\n" for line in header)
    return text + yaml.safe_dump({"services": services}, sort_keys=False)


def nginx_conf(point: ServicePoint, service: str, server: Server, *, cached: bool) -> str:
    """Return nginx's configuration: least connections, and a cache of answers if wished.

    Args:
        point: The point.
        service: The service's name; replicas are numbered.
        server: Their server.
        cached: Whether answers are cached, by the whole body of the request.
    """
    upstreams = [
        f"    server {service}-{place + 1}:{server.port};" for place in range(point.replicas)
    ]
    cache, use = [], []
    if cached:
        cache = ["  proxy_cache_path /var/cache/nginx/answers keys_zone=answers:32m max_size=1g;"]
        use = [
            "      # The key is the whole request: equal to the last bit.",
            "      proxy_cache answers;",
            "      proxy_cache_methods POST;",
            '      proxy_cache_key "$request_uri $request_body";',
            "      proxy_cache_valid 200 1h;",
            "      add_header X-Cache $upstream_cache_status;",
        ]
    passed = [
        "      proxy_pass http://replicas;",
        "      proxy_http_version 1.1;",
        '      proxy_set_header Connection "";',
    ]
    lines = [
        "events {}",
        "http {",
        "  access_log off;",
        f"  client_max_body_size {_BODY_MIB}m;",
        f"  client_body_buffer_size {_BODY_MIB}m;",
        *cache,
        "  upstream replicas {",
        "    # A replica that is behind gets no more; in turns, it would.",
        "    least_conn;",
        *upstreams,
        "    keepalive 64;",
        "  }",
        "  server {",
        "    listen 8000;",
        "    location / {",
        *passed,
        "    }",
        f"    location ~ {server.predict} {{",
        *passed,
        *use,
        "    }",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _cores(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
