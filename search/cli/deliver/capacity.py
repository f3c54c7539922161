"""The command ``capacity``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

_RATE = click.FloatRange(min=0, min_open=True)


def _numbers(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int]:
    if text is None:
        return []
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise click.BadParameter(
            f"write whole numbers of at least 1, separated by commas; got {text!r}"
        )
    return values


@click.command()
@click.argument("source", metavar="BUNDLE|STUDY|MODEL", type=click.Path(path_type=Path))
@click.option(
    "--max-p99-ms",
    "max_latency_ms",
    type=_RATE,
    required=True,
    help="Latency budget of a request, from when it was due. With --percentile, of another "
    "percentile.",
)
@click.option(
    "--percentile",
    type=click.Choice(["p50", "p90", "p95", "p99"]),
    default="p99",
    show_default=True,
    help="The percentile of latency that keeps the budget.",
)
@click.option(
    "--trial", type=click.IntRange(min=0), help="A trial of STUDY; by default what its wish picks."
)
@click.option("--rate", "rate_per_s", type=_RATE, help="Requests per second: how many replicas?")
@click.option("--price-per-hour", type=_RATE, help="What one replica costs per hour.")
@click.option(
    "--spike",
    type=click.FloatRange(min=1),
    help="Also serve bursts of this many times the usual rate, with and without batches.",
)
@click.option(
    "--arrivals",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Also serve a recorded trace: one time in seconds per row, .csv, .txt or .npy.",
)
@click.option(
    "--batch", "batch_sizes", callback=_numbers, help="Largest batches to try.  [default: 1,2,4…16]"
)
@click.option("--instances", callback=_numbers, help="Instances to try; all that fit by default.")
@click.option("--threads", callback=_numbers, help="Threads to try; all that fit by default.")
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Serve the predicted load for real, and publish the measured capacity.",
)
@click.option(
    "--launches",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Fresh processes of each published figure.",
)
@click.option("--seconds", type=_RATE, help="Seconds of each load that is served.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
def capacity(source: Path, as_json: bool, **question: Any) -> None:
    """Find how many requests per second a model answers within a latency budget.

    Give the folder of a picked model, a study file, or a model file (which runs in ONNX Runtime, on
    random samples). Instances × threads × batch are timed together on this machine's cores, a
    simulation of the queue predicts the capacity of each, and the best one is served for real, in
    fresh processes. A bundle gets the plan: serving.json, for exports and live checks.

    \b
    paretune capacity picked/ --max-p99-ms 20
    paretune capacity study.yaml --trial 61 --max-p99-ms 20 --rate 200 --price-per-hour 0.2
    paretune capacity picked/ --max-p99-ms 20 --spike 3
    """
    from paretune.search.deliver.capacity.capacity_text import capacity_lines, ways_table
    from paretune.search.deliver.capacity.question import SIZES
    from paretune.search.deliver.capacity.serving_plan import PLAN
    from paretune.search.review.console import console
    from paretune.search.study.serving.capacity import capacity as find

    question["batch_sizes"] = question["batch_sizes"] or SIZES
    found = find(source, told=partial(click.echo, err=True), **question)
    if as_json:
        from paretune.search.cli.values import base
        from paretune.search.cli.values.serving import capacity_values

        click.echo(base.as_json(capacity_values(found)))
        return
    console.print(ways_table(found))
    for line in capacity_lines(found):
        click.echo(line)
    if source.is_dir():
        click.echo(f"wrote {source / PLAN}")
