"""The options of ``paretune search`` that say which point will be picked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click

from paretune.runners.metric import Percentile

_OPTIONS = (
    click.option(
        "--max-latency-ms",
        type=click.FloatRange(min=0, min_open=True),
        help="Wish: latency budget per call, in milliseconds.",
    ),
    click.option(
        "--percentile",
        type=click.Choice(get_args(Percentile)),
        help="Wish: latency percentile of the budget; by default the study file's, else p95.",
    ),
    click.option(
        "--max-accuracy-drop",
        "max_quality_drop",
        type=click.FloatRange(min=0),
        help="Wish: maximum loss of accuracy (or other quality) against the baseline.",
    ),
    click.option(
        "--min-accuracy",
        "min_quality",
        type=float,
        help="Wish: minimum accuracy (or other quality).",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        help="Wish: the batch size that will be used.",
    ),
)


def wish_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, by the names that ``api.run`` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
