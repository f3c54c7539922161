"""A bundle as a service: written for a server, and checked where it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paretune.search.deliver.export import Export, export_bundle
from paretune.search.deliver.live.live_verification import LiveVerification, LiveWish
from paretune.search.deliver.live.service import Endpoint
from paretune.search.deliver.live.service_check import verify_service as verify_served
from paretune.search.deliver.target import TARGETS, ExportSettings
from paretune.spaces import SpaceError


def export(
    bundle: str | Path, target: str, out: str | Path, *, name: str | None = None, **settings: Any
) -> Export:
    """Write a bundle's model for a server, configured with the measured figures.

    >>> paretune.export("picked", "triton", "repository")                       # doctest: +SKIP
    >>> paretune.export("picked", "kserve", "deploy", rate_per_s=200)           # doctest: +SKIP

    Args:
        bundle: The folder that :func:`paretune.pick` wrote; :func:`paretune.capacity` adds the plan
            from which instances, batch and queue delay come.
        target: The target, such as ``triton``, ``mlflow`` or ``docker``.
        out: The folder to write; what an earlier export wrote there is replaced.
        name: The model's name at the target; the study's by default.
        settings: What the export is for: ``rate_per_s``, ``peak_rate_per_s``, ``hit_rate``,
            ``max_latency_ms``, ``image``, ``storage_uri``, ``server``.

    Raises:
        SpaceError: If there is no such target, or it does not read a setting.
        StudyError: If the target cannot use the point, or lacks a figure that it needs.
    """
    record, given = TARGETS.get(target), ExportSettings(name="", **settings)
    if unread := record.unread(given):
        reads = ", ".join(record.settings or ()) or "no settings"
        raise SpaceError(f"the target {target} does not read {', '.join(unread)}; it reads {reads}")
    return export_bundle(Path(bundle), record, Path(out), given, name)


def verify_service(
    bundle: str | Path,
    url: str,
    protocol: str = "v2",
    *,
    model: str = "",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
    metrics_url: str = "",
    told: Callable[[str], None] = lambda _: None,
    **wish: Any,
) -> LiveVerification:
    """Check whether a service keeps the promises of a bundle that it serves.

    >>> paretune.verify_service("picked", "http://host:8000", saves=True)       # doctest: +SKIP

    Args:
        bundle: The folder that :func:`paretune.pick` wrote.
        url: The service's address.
        protocol: How it is asked: ``v2``, ``v2-grpc``, ``mlflow`` or ``json``.
        model: The model's name there; the study's by default.
        headers: Sent with every request.
        timeout_s: Longest time to wait for an answer.
        metrics_url: Where the server has ``/metrics``, if that is another port.
        told: Given lines about progress.
        wish: The rate and the budget to hold, and whether to save the times for later checks:
            ``rate_per_s``, ``at_capacity``, ``max_latency_ms``, ``percentile``, ``seconds``,
            ``saves``.

    Raises:
        StudyError: If the bundle cannot be read, or lacks what the wish needs.
        SpaceError: If the protocol is unknown.
    """
    endpoint = Endpoint(url, model, headers or {}, timeout_s, metrics_url)
    return verify_served(Path(bundle), endpoint, protocol, LiveWish(**wish), told=told)
