"""The notes beside an export: what was measured, what to expect, and how to check it."""

from __future__ import annotations

from collections.abc import Sequence

from paretune.runners.metric import MEDIAN_LATENCY, USUAL_LATENCY
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.record.words import counted

NOTES = "NOTES.md"
"""The file of the notes in an export."""

_PERCENT = 100.0
"""Percent in a whole."""


def notes(
    point: ServicePoint, start: str, verify: str, says: Sequence[str] = (), *, batches: bool = True
) -> str:
    """Return the notes of an export, in Markdown.

    Args:
        point: The point.
        start: The command that starts the service.
        verify: Options of ``paretune verify`` after the bundle.
        says: What else the target's user must know, in sentences.
        batches: Whether the target gathers requests into one call.
    """
    lines = [f"# {point.name}", "", f"`{start}`", "", *_measured(point), *_serves(point, batches)]
    if says:
        lines += ["", *(f"- {each}" for each in says)]
    if point.settings.hit_rate is not None:
        lines += ["", "## Cache of answers", "", *cache_words(point, point.settings.hit_rate)]
    lines += ["", "## Several replicas", "", *_replicas(point)]
    lines += ["", "## Check it", "", f"`paretune verify BUNDLE {verify}`", ""]
    lines += ["BUNDLE is the folder of `paretune pick --out`.", ""]
    return "\n".join(lines)


def cache_words(point: ServicePoint, hit_rate: float) -> list[str]:
    """Return what a cache of answers gives at a hit rate, in sentences.

    With a share h of hits, only the share 1 − h of requests reaches the model. So the rate that a
    replica holds is its capacity ÷ (1 − h), and the mean latency (1 − h) times that of a miss, plus
    the look-up. Latency exceeds t where a miss does: P = (1 − h) P(miss > t). The p99 of all
    requests is so the quantile 1 − 0.01 ÷ (1 − h) of the misses: that of a call of the model until
    h exceeds 99 %.
    """
    share, missed = f"{hit_rate:.0%}", 1 - hit_rate
    words = [
        f"A cache answers an expected {share} of requests: those whose inputs are equal to earlier "
        "ones to the last bit.",
        f"Mean latency: {missed:.3g} × that of a miss, plus the look-up of each request.",
    ]
    if missed <= 0.01:
        words.append("p99: that of a look-up; more than 99 % of requests are hits.")
    else:
        of_misses = _PERCENT - 1 / missed
        words.append(
            f"p99: the p{of_misses:.4g} of the misses, so still the time of a call of the model. "
            "A cache improves the p99 to that of a look-up only above 99 % of hits."
        )
    if missed <= 0:
        words.append("Capacity: that of the cache.")
    elif point.plan is not None:
        low = point.plan.capacity_per_s.ends[0]
        words.append(
            f"Capacity of a replica: {low:.4g} × 1 ÷ (1 − {hit_rate:g}) = {low / missed:.4g} "
            "requests/s. Replicas are counted without it, because a cache is empty after a start."
        )
    else:
        words.append(f"Capacity of a replica: {1 / missed:.3g} × that without a cache.")
    return [f"- {each}" for each in words]


def _measured(point: ServicePoint) -> list[str]:
    manifest = point.manifest
    environment = manifest.get("environment", {})
    where = environment.get("processor", "the machine of the search")
    lines = ["## What was measured", ""]
    lines.append(
        f"Trial {manifest.get('trial')} of {manifest.get('study')}, on {point.runtime}'s "
        f"{point.provider}, in calls of {point.measured_batch}, on {where}:"
    )
    lines.append("")
    for name in (MEDIAN_LATENCY, USUAL_LATENCY):
        told = manifest.get("metrics", {}).get(name)
        if told:
            low, high = told.get("low"), told.get("high")
            ends = "" if low is None else f" ({low:.4g} to {high:.4g})"
            lines.append(f"- {name}: {told['value']:.4g}{ends}")
    return lines


def _serves(point: ServicePoint, batches: bool) -> list[str]:
    lines = ["", "## How it is served", "", f"Figures: {point.origin}.", ""]
    lines.append(
        f"- instances × threads: {point.instances} × {point.threads} = "
        f"{counted(point.cores, 'core')}"
    )
    if batches and point.max_batch > 1:
        wait = f"a call waits up to {point.queue_delay_ms:.3g} ms for others"
        if point.queue_delay_ms == 0:
            wait = "a call takes what waits already, and waits for no more"
        lines.append(f"- at most {point.max_batch} requests in a call; {wait}")
    lines.append(
        f"- {point.start_ms:.0f} ms until the first answer "
        + (
            "after the start of a replica"
            if point.plan
            else "of the session alone, without a server"
        )
    )
    return lines


def _replicas(point: ServicePoint) -> list[str]:
    rate = point.settings.rate_per_s
    told = []
    if rate is not None:
        plan = point.needed_plan("--rate")
        told.append(
            f"- {point.replicas} replicas hold {rate:g} requests/s: each "
            f"{plan.capacity_per_s.ends[0]:.4g}, the lower end of the capacity's interval."
        )
    return [
        *told,
        f"- Give each replica {counted(point.cores, 'core')} of its own, as in the measurement.",
        "- Balance by least connections, not in turns: a replica that is behind gets no more.",
    ]
