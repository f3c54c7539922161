"""The commands around a bundle: ``pick`` writes one, ``verify`` checks it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument(
    "study", type=click.Path(path_type=Path, dir_okay=False), default=Path("study.yaml")
)
@click.option(
    "--max-latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="Latency budget of one call, in milliseconds.",
)
@click.option(
    "--percentile",
    type=click.Choice(["p50", "p90", "p95", "p99"]),
    default="p95",
    show_default=True,
    help="Which latency the budget is about.",
)
@click.option(
    "--min-accuracy", "min_quality", type=float, help="Lowest accuracy (or other quality) accepted."
)
@click.option(
    "--max-accuracy-drop",
    "max_quality_drop",
    type=click.FloatRange(min=0),
    help="Largest loss of accuracy against the baseline.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Only points of this batch size.")
@click.option("--runner", help="Only points on this runner, such as onnxruntime.")
@click.option(
    "--max", "maxima", multiple=True, metavar="METRIC=VALUE", help="Upper limit on any metric."
)
@click.option(
    "--min", "minima", multiple=True, metavar="METRIC=VALUE", help="Lower limit on any metric."
)
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Measure the point once more, and take the next if it breaks a limit.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write model.onnx and manifest.json here.",
)
@click.option(
    "--register", metavar="NAME", help="Register the model in MLflow's model registry by this name."
)
@click.option("--alias", help="With --register: an alias for this version, such as champion.")
@click.option(
    "--triton",
    type=click.Path(path_type=Path, file_okay=False),
    help="Put the model into this Triton model repository, with its config.pbtxt.",
)
def pick(
    study: Path, out: Path | None, maxima: Sequence[str], minima: Sequence[str], **wish: Any
) -> None:
    """Pick the most accurate point of STUDY that keeps a latency budget.

    Published values are used (see `paretune confirm`), and a limit is held against the unfavourable
    end of the interval. The point is then measured once more, here and now; if it breaks a limit,
    the next one is taken. With --out the ONNX file and a manifest of everything needed to run it as
    measured are written.

    \b
    paretune pick study.yaml --max-latency-ms 5 --max-accuracy-drop 0.01 --out picked/
    paretune pick study.yaml --max peak_memory_bytes=2e8 --min throughput_samples_per_s=1000
    paretune pick study.yaml --max-latency-ms 5 --register digits --alias champion
    """
    from search import api
    from search.choice import Wish, baseline, knee
    from search.objective import Constraint
    from search.shortfall import shortfalls
    from search.summary import format_metric, shown_metrics

    if wish["alias"] is not None and wish["register"] is None:
        raise click.UsageError("--alias names a registered version: give --register NAME, too")
    limits = [Constraint(name, maximum=value) for name, value in map(_limit, maxima)]
    limits += [Constraint(name, minimum=value) for name, value in map(_limit, minima)]
    picked = api.pick(study, out=out, limits=limits, **wish)
    record = picked.record
    for reason in picked.broken:
        click.echo(f"not taken: {reason}")
    if not picked.history.confirmed:
        click.echo("the study is not confirmed: these are the search's own values")
    click.echo(f"trial {record.number}: {record.candidate.label}")
    base = baseline(picked.history)
    for name in shown_metrics(picked.history):
        compared = f"  (baseline {format_metric(name, base.metrics[name])})" if base else ""
        click.echo(f"  {name:<26} {format_metric(name, record.metrics[name]):>12}{compared}")
    for text in shortfalls(record, picked.history):
        click.echo(f"  {text}")
    if picked.checked:
        metric = f"latency_{wish['percentile']}_ms"
        now = picked.checked.metrics[metric]
        click.echo(f"measured just now: {metric} {format_metric(metric, now)}")
    if not limits and wish["max_latency_ms"] is None:
        bend = knee(picked.history, Wish(percentile=wish["percentile"]))
        if bend is not None and bend.number != record.number:
            metric = f"latency_{wish['percentile']}_ms"
            click.echo(
                f"no budget was given; at the knee of the frontier is trial {bend.number} "
                f"({picked.history.quality_metric} "
                f"{bend.metrics[picked.history.quality_metric]:.4f}, "
                f"{metric} {format_metric(metric, bend.metrics[metric])})"
            )
    if picked.manifest:
        click.echo(f"wrote {picked.manifest.parent / 'model.onnx'} and {picked.manifest}")
    if picked.triton:
        click.echo(f"wrote {picked.triton}; tritonserver --model-repository={wish['triton']}")
    if picked.version:
        name, alias = wish["register"], wish["alias"]
        uri = f"models:/{name}@{alias}" if alias else f"models:/{name}/{picked.version}"
        click.echo(
            f"registered {name} version {picked.version} in {picked.tracking_uri}; serve it: "
            f"MLFLOW_TRACKING_URI={shlex.quote(picked.tracking_uri)} "
            f"mlflow models serve -m {uri} --env-manager local"
        )


def _limit(text: str) -> tuple[str, float]:
    """Split METRIC=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise click.BadParameter(
            f"a limit is written METRIC=VALUE, such as peak_memory_bytes=2e8; got {text!r}"
        ) from None


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
def verify(bundle: Path) -> None:
    """Say whether BUNDLE does on this machine what its manifest says.

    The file is checked, run on the bundle's samples, compared with the answers it gave when it was
    picked, and timed by the careful protocol.

    \b
    Exit codes: 0 as promised; 3 slower; 4 faster; 5 different answers; 6 does not run here;
                7 not the file that was picked; 8 cannot tell: the machine was busy.
    """
    from search import api
    from search.summary import format_metric

    found = api.verify(bundle)
    for name, now in found.measured.items():
        then = found.promised[name]
        click.echo(
            f"{name:<18} promised {format_metric(name, then.value)}, "
            f"measured {format_metric(name, now.value)}"
        )
    click.echo(f"{found.verdict.words}: {found.reason}")
    sys.exit(int(found.verdict))
