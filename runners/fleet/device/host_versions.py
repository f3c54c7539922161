"""The versions that the hosts of a fleet must share: jobs travel between them as Python's objects.

Dask itself only warns if its own versions differ (``distributed/versions.py``). Each host announces
its versions when it joins, so that looking at them asks nobody.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from paretune.spaces import StudyError

ANNOUNCED = "paretune_versions"
"""Where the scheduler keeps a host's versions, among what it knows of its Dask worker."""

_PACKAGES = ("paretune", "dask", "distributed")


def own_versions() -> dict[str, str]:
    """Return this process's versions, by name; of Python the minor version is enough."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def refuse_other_hosts(workers: Iterable[Mapping[str, Any]], slots: Collection[str]) -> None:
    """Refuse to use hosts that have other versions than this process.

    Args:
        workers: What the scheduler knows of each host.
        slots: Only hosts that offer one of these are looked at.

    Raises:
        StudyError: If one has another version of Paretune, Python or Dask.
    """
    for worker in workers:
        if slots & worker["resources"].keys() and (other := _differences(worker)):
            raise StudyError(
                f"the host {worker['name']} of the fleet has {_told(other, 1)}, but this search "
                f"has {_told(other, 0)}: install the same on both, and start the host again"
            )


def refuse_to_join_others(name: str, workers: Iterable[Mapping[str, Any]]) -> None:
    """Refuse to join hosts that have other versions than this process.

    Args:
        name: This host's name.
        workers: What the scheduler knows of each host.

    Raises:
        StudyError: If one has another version of Paretune, Python or Dask.
    """
    for worker in workers:
        if other := _differences(worker):
            raise StudyError(
                f"this host, {name}, has {_told(other, 0)}, but the host {worker['name']} of the "
                f"fleet has {_told(other, 1)}: install the same on both, or stop that one first"
            )


def _differences(worker: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return own and other version of what differs; a host that announced nothing is not ours."""
    others = worker.get(ANNOUNCED, {})
    return {
        name: (own, others[name])
        for name, own in own_versions().items()
        if others.get(name, own) != own
    }


def _told(differences: Mapping[str, tuple[str, str]], side: int) -> str:
    return ", ".join(f"{name} {both[side]}" for name, both in differences.items())
