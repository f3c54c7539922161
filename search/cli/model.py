"""The commands for a single model file: ``measure`` and ``compare``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paretune.search.cli.inputs import input_options
from paretune.search.cli.names import RegistryName
from paretune.search.cli.study import json_option
from paretune.spaces import DEFAULT_RUNNER

if TYPE_CHECKING:
    from paretune.runners.runtimes.settings import LoadSettings, MeasurementSettings

_FILE = click.Path(path_type=Path, dir_okay=False)


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise click.BadParameter(
            f"write whole numbers of at least 1, separated by commas; got {text!r}"
        )
    return values


def _sizes(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int]:
    found = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not size.isdigit() or int(size) < 1:
            raise click.BadParameter(f"write NAME=SIZE, such as sequence=128; got {text!r}")
        found[name] = int(size)
    return found


def _pairs(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name or not value:
            raise click.BadParameter(f"write NAME=VALUE; got {text!r}")
        found[name] = value
    return found


def _run_options(command: Any) -> Any:
    for option in (
        click.option(
            "--provider-library",
            "provider_libraries",
            multiple=True,
            callback=_pairs,
            metavar="NAME=PATH",
            help="Plug-in execution provider of ONNX Runtime. Repeatable.",
        ),
        click.option(
            "--provider-option",
            "provider_options",
            multiple=True,
            callback=_pairs,
            metavar="KEY=VALUE",
            help="Option of the execution provider, for example device_id=1. Repeatable.",
        ),
        click.option(
            "--dim",
            "dimensions",
            multiple=True,
            callback=_sizes,
            metavar="NAME=SIZE",
            help="Size of a dynamic dimension other than the batch, by its name or as INPUT:AXIS. "
            "Repeatable.",
        ),
        input_options,
        click.option(
            "--inputs",
            "data",
            type=click.Path(path_type=Path),
            help="Samples: an .npz file with one array per input, or a folder of .npy files.",
        ),
        click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True),
        click.option(
            "--requirement",
            "requirements",
            multiple=True,
            metavar="PACKAGE",
            help="Use the runtime of an environment with this package and numpy, made once; for "
            "example onnxruntime-openvino==1.24.1. Repeatable.",
        ),
        click.option("--python", type=_FILE, help="Use the runtime of this interpreter."),
        click.option(
            "--provider",
            help="Execution provider; by default CPUExecutionProvider, CPU (openvino) or "
            "eager-cpu (pytorch). `paretune devices` lists them.",
        ),
        click.option(
            "--runner",
            "runtime",
            type=RegistryName("paretune.runners.runtimes.registry:RUNTIMES"),
            default=DEFAULT_RUNNER,
            show_default=True,
            help="The runtime; pytorch takes .pt2 files, the others ONNX files.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("model", type=_FILE)
@click.option(
    "--batch-size", "batch_sizes", default="1", callback=_numbers, help="One or more: 1,8,32."
)
@_run_options
@click.option(
    "--careful/--quick",
    default=True,
    show_default=True,
    help="Careful adds launches until the intervals are tight; quick measures like a search.",
)
@click.option(
    "--queries-per-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Also offer load: this many queries per second, at random times (extra: load).",
)
@click.option(
    "--single-stream", is_flag=True, help="Also offer load: each query when the last one ends."
)
@click.option(
    "--load-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="How long each launch offers load.",
)
@click.option(
    "--memory-limit-mb", type=click.IntRange(min=1), help="Memory limit per launch, for data."
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Deadline of a step of a launch: loading, or one call.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, raw samples included.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Also write latency histograms (HTML) here."
)
def measure(
    model: Path,
    batch_sizes: list[int],
    careful: bool,
    queries_per_s: float | None,
    single_stream: bool,
    load_seconds: float,
    memory_limit_mb: int | None,
    timeout_s: float | None,
    as_json: bool,
    plot: Path | None,
    **setup: Any,
) -> None:
    """Measure a model file: latency with intervals, throughput, memory, operators, bottleneck.

    Without --inputs the model runs on random samples. Every launch is a fresh process, pinned to
    its cores, on an idle machine; disturbed launches are repeated.
    """
    from paretune.runners.cores import limits_in_words
    from paretune.runners.failure import Failure
    from paretune.runners.measure.model_report import ModelReport, report
    from paretune.runners.measure.model_setup import ModelSetup
    from paretune.search.review.model_console import (
        print_reports,
        write_histograms,
    )

    options = ModelSetup(**setup)
    settings = _settings(careful, memory_limit_mb, timeout_s)
    settings = replace(settings, load=_load(queries_per_s, single_stream, load_seconds))
    if limits := limits_in_words(options.threads):
        click.echo(f"note: {limits}", err=True)
    reports: list[ModelReport] = []
    failed = False
    for batch_size in batch_sizes:
        with options.ready(model, batch_size) as (runner, run, samples):
            outcome = report(runner, model, run, samples, settings)
        if isinstance(outcome, Failure):
            failed = True
            click.echo(f"batch {batch_size}: {outcome.stage}: {outcome.message}", err=True)
        else:
            reports.append(outcome)
    if as_json:
        from paretune.search.cli.values import base
        from paretune.search.cli.values.model import measure_values

        click.echo(base.as_json(measure_values(reports)))
    else:
        print_reports(reports)
    if plot and reports:
        write_histograms(reports, plot)
        click.echo(f"wrote {plot}", err=True)
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("model", type=_FILE)
@click.argument("others", metavar="OTHER...", type=_FILE, nargs=-1, required=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True)
@_run_options
@click.option("--launches", type=click.IntRange(min=2), default=7, show_default=True)
@json_option
def compare(
    model: Path,
    others: Sequence[Path],
    batch_size: int,
    launches: int,
    as_json: bool,
    **setup: Any,
) -> None:
    """Say whether each OTHER is faster or slower than MODEL, or cannot be told apart from it.

    Both take turns in the same processes (ABBA blocks), so that a disturbance affects both:
    differences of a few percent show.
    """
    from paretune.search.cli.values import base
    from paretune.search.cli.values.model import compare_values
    from paretune.search.study.models import compare as compare_models

    values = []
    for other in others:
        found = compare_models(model, other, batch_size=batch_size, launches=launches, **setup)
        values.append(compare_values(model, other, batch_size, setup["threads"], found))
        if as_json:
            continue
        ratio = found.ratio
        threads = f"{setup['threads']} threads"
        click.echo(f"time of {other} ÷ time of {model}, batch {batch_size}, {threads}:")
        click.echo(f"  {ratio.value:.4f}  (95 % interval {ratio.low:.4f} … {ratio.high:.4f})")
        words = {
            "faster": f"{other} is {1 / ratio.value:.2f}× faster",
            "slower": f"{other} is {ratio.value:.2f}× slower",
            "cannot tell": "cannot tell them apart",
        }
        click.echo(f"verdict: {words[found.verdict]}")
    if as_json:
        click.echo(base.as_json(values))


def _settings(
    careful: bool, memory_limit_mb: int | None, timeout_s: float | None
) -> MeasurementSettings:
    from paretune.runners.runtimes.settings import CAREFUL, MeasurementSettings

    settings = CAREFUL if careful else MeasurementSettings()
    if memory_limit_mb is not None:
        settings = replace(settings, memory_limit_bytes=memory_limit_mb * 10**6)
    settings = settings if timeout_s is None else replace(settings, timeout_s=timeout_s)
    return settings.claiming()


def _load(queries_per_s: float | None, single_stream: bool, seconds: float) -> LoadSettings | None:
    from paretune.runners.runtimes.settings import LoadSettings

    if single_stream and queries_per_s is not None:
        raise click.UsageError("--single-stream takes no --queries-per-s: it has no rate")
    if single_stream:
        return LoadSettings("single_stream", None, seconds)
    return None if queries_per_s is None else LoadSettings("server", queries_per_s, seconds)
