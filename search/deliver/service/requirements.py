"""What a service's environment holds: the versions that were measured."""

from __future__ import annotations

import re

from paretune.runners.runtimes.registry import RUNTIMES
from paretune.search.deliver.service.point import ServicePoint

PYTHON = "3.11"
"""Python's version in containers of bundles whose manifest does not tell it."""


def pinned(point: ServicePoint, *server: str) -> list[str]:
    """Return the requirements of a service: its server's, and the runtime and numpy as measured.

    Args:
        point: The point.
        server: Requirements of the server, in pip's syntax.
    """
    run, versions = point.manifest["run"], point.manifest.get("environment", {})
    told = list(run.get("requirements", ()))
    if not told and point.runtime in RUNTIMES:
        others = RUNTIMES.get(point.runtime).requirements
        told = others.get(point.provider, point.runtime).split()
    found = {_package(each): each for each in told}
    found.setdefault("numpy", "numpy")
    runtime = versions.get(point.runtime)
    for package, requirement in found.items():
        version = versions.get(package)
        if version is None and runtime and package.startswith(point.runtime):
            version = runtime  # another build of it, such as onnxruntime-gpu
        if version:
            # A build's own suffix (2026.4.1-22085-…) is not part of the release's name.
            exact = re.match(r"[0-9][0-9.]*(?:(?:a|b|rc|\.?post|\.?dev)[0-9]+)?", str(version))
            extras = re.search(r"\[.*?\]", requirement)
            if exact:
                found[package] = f"{package}{extras[0] if extras else ''}=={exact[0].rstrip('.')}"
    return [*server, *found.values()]


def python_version(point: ServicePoint) -> str:
    """Return the version of Python that was measured with."""
    return str(point.manifest.get("environment", {}).get("python", PYTHON))


def _package(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].strip().lower()
