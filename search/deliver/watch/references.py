"""Which reference of latency a watch compares with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from paretune.search.deliver.live.live_record import RECORD
from paretune.search.deliver.watch.latency_reference import LatencyReference
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.sources.bucket_blocks import reference_of_steps
from paretune.search.deliver.watch.sources.prometheus_source import PrometheusSource
from paretune.spaces import StudyError


class ReferenceKind(StrEnum):
    """Where a reference comes from."""

    LIVE = "live"
    MANIFEST = "manifest"
    LEARN = "learn"


def chosen_reference(
    kind: ReferenceKind | None,
    bundle: Path,
    manifest: Mapping[str, Any],
    settings: WatchSettings,
    *,
    is_probe: bool,
) -> LatencyReference | None:
    """Return the reference; ``None`` to learn it from the first requests.

    By default, a probe compares with ``live.json`` if the bundle has it: both are times of a
    client. A log tells the server's own times, which nobody has measured before: they are learnt.

    Raises:
        StudyError: If the named one is not there.
    """
    sizes = settings.tolerance, settings.block_requests
    if kind is ReferenceKind.MANIFEST:
        return LatencyReference.of_manifest(manifest, *sizes)
    if kind is ReferenceKind.LIVE or (kind is None and is_probe):
        found = LatencyReference.of_live(bundle, *sizes)
        if found is None and kind is not None:
            raise StudyError(
                f"{bundle} has no {RECORD}: save it with `paretune verify {bundle} --url … "
                "--save`, or learn a reference, with `--reference learn`"
            )
        return found
    return None


def prometheus_reference(
    source: PrometheusSource, settings: WatchSettings, hours: float
) -> LatencyReference:
    """Return the reference of the last hours that Prometheus has kept.

    Raises:
        StudyError: If it has too few requests of that time.
    """
    now = time.time()
    steps = source.between(now - hours * 3600, now)
    return reference_of_steps(steps, settings, f"Prometheus's last {hours:g} h")
