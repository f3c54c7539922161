"""The command that writes a bundle: ``pick``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from paretune.runners.metric import Percentile
from paretune.search.cli.study import json_option, study_argument
from paretune.spaces.errors import ParetuneError


@click.command()
@study_argument
@click.option(
    "--max-latency-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="Latency budget per call, in milliseconds.",
)
@click.option(
    "--percentile",
    type=click.Choice(get_args(Percentile)),
    default="p95",
    show_default=True,
    help="Latency percentile of the budget.",
)
@click.option(
    "--min-accuracy",
    "min_quality",
    type=float,
    help="Minimum accuracy (or other quality), compared with the published value.",
)
@click.option(
    "--max-accuracy-drop",
    "max_quality_drop",
    type=click.FloatRange(min=0),
    help="Maximum loss of accuracy against the baseline, by published values.",
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
    "--prefer",
    type=click.Choice(["accuracy", "latency", "throughput", "size", "memory"]),
    help="The quantity to optimize; accuracy is the workload's quality. Default: latency if only "
    "accuracy is limited, else accuracy.",
)
@click.option(
    "--measure/--no-measure",
    default=True,
    show_default=True,
    help="Measure the point again, and take the next one if it breaks a limit.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the model's file and manifest.json here.",
)
@click.option(
    "--register",
    metavar="NAME",
    help="Register the model in MLflow's model registry under this name.",
)
@click.option("--alias", help="With --register: an alias for this version, such as champion.")
@click.option(
    "--triton",
    type=click.Path(path_type=Path, file_okay=False),
    help="Put the model into this Triton model repository, with its config.pbtxt: short for "
    "--target triton DIR.",
)
@click.option(
    "--target",
    "targets",
    type=(str, click.Path(path_type=Path, file_okay=False)),
    multiple=True,
    metavar="NAME DIR",
    help="Write the model to this folder in the layout of a target, such as triton. Repeatable.",
)
@click.option(
    "--for-each-device",
    is_flag=True,
    help="Pick on every device that STUDY was searched on (`paretune search --device A --device "
    "B`), into a folder per device below --out.",
)
@json_option
def pick(
    study: Path,
    for_each_device: bool,
    as_json: bool,
    out: Path | None,
    maxima: Sequence[str],
    minima: Sequence[str],
    triton: Path | None,
    targets: Sequence[tuple[str, Path]],
    **wish: Any,
) -> None:
    """Pick the best point of STUDY that keeps the limits.

    With a limit on latency or on another time, rate or size, the most accurate point is best. With
    limits on accuracy only, the fastest is best. --prefer overrides this. Points whose difference
    is within one standard error (for accuracy: of the paired bootstrap) count as equal: `pick`
    takes the fastest of equally accurate points, and the most accurate of equally fast points.

    Limits apply to published values (see `paretune confirm`). A limit on a time, rate or size is
    compared with the unfavourable end of the interval. A limit on accuracy is compared with the
    value itself, which is exact for this file on this test split; the interval of the change is
    printed. The point is then measured again on this machine and compared with its published
    interval; if it breaks a limit, the next one is taken. --out writes the model file, and a
    manifest with everything needed to run it as measured.

    \b
    paretune pick study.yaml --max-latency-ms 5 --max-accuracy-drop 0.01 --out picked/
    paretune pick study.yaml --max-accuracy-drop 0.01                 # the fastest that keeps it
    paretune pick study.yaml --max peak_memory_bytes=2e8 --min throughput_samples_per_s=1000
    paretune pick study.yaml --max-latency-ms 5 --register digits --alias champion
    """
    from paretune.search.study.fleet.devices import device_files

    if wish["alias"] is not None and wish["register"] is None:
        raise click.UsageError("--alias needs --register NAME: it names a registered version")
    if not for_each_device:
        _pick(study, out, maxima, minima, triton, targets, wish, as_json=as_json)
        return
    if as_json:
        raise click.UsageError(
            "--json prints one point: give it with a device's own study, study.DEVICE.yaml"
        )
    if triton or targets or wish["register"]:
        raise click.UsageError(
            "--triton, --target and --register take one model: give them with a device's own "
            "study, study.DEVICE.yaml"
        )
    nothing = []
    for device, file in device_files(study).items():
        click.echo(f"{device}:")
        try:
            _pick(file, out and out / device, maxima, minima, None, (), wish)
        except ParetuneError as error:
            nothing.append(device)
            click.echo(f"nothing picked: {error}")
    if nothing:
        sys.exit(1)


def _pick(
    study: Path,
    out: Path | None,
    maxima: Sequence[str],
    minima: Sequence[str],
    triton: Path | None,
    targets: Sequence[tuple[str, Path]],
    wish: Mapping[str, Any],
    *,
    as_json: bool = False,
) -> None:
    """Pick from one study, and say what and why."""
    from paretune.search.deliver.choice import knee, points
    from paretune.search.deliver.target import TARGETS
    from paretune.search.record.objective import Constraint
    from paretune.search.record.words import format_metric
    from paretune.search.study import api

    limits = [Constraint(name, maximum=value) for name, value in map(_limit, maxima)]
    limits += [Constraint(name, minimum=value) for name, value in map(_limit, minima)]
    exported = dict([*([("triton", triton)] if triton else []), *targets])
    progress = None if as_json else partial(click.echo, err=True)
    picked = api.pick(study, out=out, limits=limits, targets=exported, told=progress, **wish)
    if as_json:
        from paretune.search.cli.values.base import as_json as as_text
        from paretune.search.cli.values.pick import pick_values

        click.echo(as_text(pick_values(picked)))
        return
    asked = picked.wish
    click.echo(str(picked))
    if wish["measure"] and picked.history.confirmed and not picked.rechecks:
        click.echo(
            "not measured again: the study's device is another machine; to check the model there, "
            "pick with --out and run `paretune verify` on it"
        )
    if asked.is_open:
        bend = knee(picked.history, asked)
        if bend is not None and bend.number != picked.record.number:
            told = [picked.history.quality_metric, asked.latency_metric]
            values = [f"{name} {format_metric(name, bend.metrics[name])}" for name in told]
            click.echo(
                f"you gave no limits; the knee of the frontier is trial {bend.number} "
                f"({', '.join(values)})"
            )
    if picked.manifest and (model := picked.model):
        others = sorted(each.name for each in model.parent.glob(f"{model.stem}.*") if each != model)
        click.echo(f"wrote {', '.join([str(model), *others])} and {picked.manifest}")
        here = picked.record.candidate.run.runner
        there = sorted({each.candidate.run.runner for each in points(picked.history)} - {here})
        if there and asked.runner is None:
            other = f"--runner {there[0]} picks among those for {there[0]}"
            click.echo(f"the file is for {here}; {other}")
    for name, written in picked.exports.items():
        hint = TARGETS.get(name).hint.format(out=exported[name])
        click.echo(f"wrote {written}" + (f"; {hint}" if hint else ""))
    if picked.version:
        name, alias = wish["register"], wish["alias"]
        uri = f"models:/{name}@{alias}" if alias else f"models:/{name}/{picked.version}"
        click.echo(
            f"registered {name} version {picked.version} in {picked.tracking_uri}; serve it: "
            f"MLFLOW_TRACKING_URI={shlex.quote(picked.tracking_uri)} "
            f"mlflow models serve -m {uri} --env-manager local"
        )
    if picked.manifest:
        click.echo(f"next: paretune verify {shlex.quote(str(picked.manifest.parent))}")


def _limit(text: str) -> tuple[str, float]:
    """Split METRIC=VALUE."""
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise click.BadParameter(
            f"write a limit as METRIC=VALUE, such as peak_memory_bytes=2e8; got {text!r}"
        ) from None
