"""The options of ``paretune search`` that say what will be picked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--max-latency-ms",
        type=click.FloatRange(min=0, min_open=True),
        help="What you mean to pick: latency budget of one call, in milliseconds.",
    ),
    click.option(
        "--percentile",
        type=click.Choice(["p50", "p90", "p95", "p99"]),
        help="Which latency the budget is about; p95 unless the study file says otherwise.",
    ),
    click.option(
        "--max-accuracy-drop",
        "max_quality_drop",
        type=click.FloatRange(min=0),
        help="What you mean to pick: largest loss of accuracy (or other quality) against the "
        "baseline.",
    ),
    click.option(
        "--min-accuracy",
        "min_quality",
        type=float,
        help="What you mean to pick: lowest accuracy (or other quality).",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        help="What you mean to pick: the batch size that will be used.",
    ),
)


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, by the names that ``api.run`` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
