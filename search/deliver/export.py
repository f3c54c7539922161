"""Exporting: a bundle's model for a target, and what is to be said about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.target import ExportSettings, TargetRecord
from paretune.spaces import StudyError


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        main: The main file.
        notices: What the user must know, in sentences.
        hint: A command that uses it; empty if the target tells none.
    """

    main: Path
    notices: tuple[str, ...]
    hint: str


def export_bundle(
    bundle: Path, target: TargetRecord, out: Path, settings: ExportSettings, name: str | None = None
) -> Export:
    """Write a bundle's model for a target.

    Args:
        bundle: A folder that ``paretune pick --out`` wrote.
        target: The target.
        out: The folder to write to.
        settings: What the export is for.
        name: The model's name at the target; by default the study's name, with a dash for letters
            that a URL would change.

    Raises:
        StudyError: If the target cannot use the point or lacks a figure that it needs, or if the
            peak is below the rate.
    """
    rate, peak = settings.rate_per_s, settings.peak_rate_per_s
    if peak is not None and (rate is None or peak < rate):
        raise StudyError(
            f"the peak rate must be at least the rate that is always held; got a peak of {peak:g} "
            f"and {'no rate' if rate is None else f'a rate of {rate:g}'}: give --rate as well"
        )
    point = ServicePoint.of_bundle(bundle, settings)
    settings = replace(settings, name=name or plain_name(point.manifest.get("study", bundle.name)))
    point = replace(point, settings=settings)
    notices = [] if point.plan else [f"figures: {point.origin}"]
    if point.plan and settings.max_latency_ms is not None:
        notices.append("--max-p99-ms is not used: the serving plan has a budget already")
    if rate is not None:
        plan = point.needed_plan("a number of replicas (--rate)")
        notices.append(
            f"{point.replicas} replicas hold {rate:g} requests/s "
            f"({plan.capacity_per_s.ends[0]:.4g} each)"
        )
    main = target.export(bundle, out, settings)
    return Export(main, tuple(notices), target.hint.format(out=quote(str(out))))


def plain_name(name: str) -> str:
    """Return a study's name as a model's name at a target: letters that a URL keeps."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-") or "model"
