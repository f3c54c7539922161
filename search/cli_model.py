"""The commands for anyone with an ONNX file: ``measure`` and ``compare``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from runners.onnxruntime_runner import OnnxRuntimeRunner

_FILE = click.Path(path_type=Path, dir_okay=False)


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = [0]
    if min(values) < 1:
        raise click.BadParameter(f"whole numbers of at least 1, comma between; got {text!r}")
    return values


def _sizes(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int]:
    found = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not size.isdigit() or int(size) < 1:
            raise click.BadParameter(f"NAME=SIZE, such as sequence=128; got {text!r}")
        found[name] = int(size)
    return found


def _runner(requirements: tuple[str, ...]) -> OnnxRuntimeRunner:
    from runners.interpreter import interpreter
    from runners.onnxruntime_runner import OnnxRuntimeRunner

    python = interpreter([*requirements, "numpy"]) if requirements else None
    return OnnxRuntimeRunner(python=python)


def _run_options(command: Any) -> Any:
    for option in (
        click.option(
            "--dim",
            "dimensions",
            multiple=True,
            callback=_sizes,
            metavar="NAME=SIZE",
            help="Size of a dynamic dimension other than the batch. Repeatable.",
        ),
        click.option(
            "--inputs", "data", type=_FILE, help="Samples: an .npz file, one array an input."
        ),
        click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True),
        click.option("--provider", default="CPUExecutionProvider", show_default=True),
        click.option(
            "--requirement",
            "requirements",
            multiple=True,
            metavar="PACKAGE",
            help="Use the ONNX Runtime of an environment with this package (and numpy), made once; "
            "such as onnxruntime-openvino==1.24.1. Repeatable.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("model", type=_FILE)
@click.option("--batch-size", "batch_sizes", default="1", callback=_numbers, help="Such as 1,8,32.")
@_run_options
@click.option(
    "--careful/--quick",
    default=True,
    show_default=True,
    help="Careful adds launches until the intervals are tight; quick is the search's setting.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, raw samples included.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Also write latency histograms (HTML) here."
)
def measure(
    model: Path,
    batch_sizes: list[int],
    dimensions: dict[str, int],
    data: Path | None,
    threads: int,
    provider: str,
    requirements: tuple[str, ...],
    careful: bool,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure an ONNX file: latency with intervals, throughput, memory, operators, bottleneck.

    Without --inputs it runs on random samples. Every launch is a fresh process.
    """
    import tempfile

    from runners.failure import Failure
    from runners.model_file import write_inputs
    from runners.model_report import ModelReport, report
    from runners.settings import CAREFUL, MeasurementSettings
    from search.model_console import print_reports, reports_as_json, write_histograms
    from spaces import RunSpec

    runner, settings = _runner(requirements), CAREFUL if careful else MeasurementSettings()
    reports: list[ModelReport] = []
    failed = False
    for batch_size in batch_sizes:
        run = RunSpec(runner.name, provider, batch_size, threads)
        with tempfile.TemporaryDirectory() as name:
            inputs = write_inputs(model, Path(name), batch_size, data=data, dimensions=dimensions)
            outcome = report(runner, model, run, inputs, settings)
        if isinstance(outcome, Failure):
            failed = True
            click.echo(f"batch {batch_size}: {outcome.stage}: {outcome.message}", err=True)
        else:
            reports.append(outcome)
    if as_json:
        click.echo(json.dumps(reports_as_json(reports), indent=2))
    else:
        print_reports(reports)
    if plot and reports:
        write_histograms(reports, plot)
        click.echo(f"wrote {plot}", err=True)
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("model", type=_FILE)
@click.argument("other", type=_FILE)
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True)
@_run_options
@click.option("--launches", type=click.IntRange(min=2), default=7, show_default=True)
def compare(
    model: Path,
    other: Path,
    batch_size: int,
    dimensions: dict[str, int],
    data: Path | None,
    threads: int,
    provider: str,
    requirements: tuple[str, ...],
    launches: int,
) -> None:
    """Say whether OTHER is faster or slower than MODEL, or that it cannot be told.

    Both are timed in turn in the same processes (blocks of ABBA), so that what disturbs one
    disturbs the other: differences of a few percent show.
    """
    import tempfile

    from runners.comparison import compare as compare_models
    from runners.failure import Failure
    from runners.model_file import write_inputs
    from spaces import RunSpec

    runner = _runner(requirements)
    run = RunSpec(runner.name, provider, batch_size, threads)
    with tempfile.TemporaryDirectory() as name:
        inputs = write_inputs(model, Path(name), batch_size, data=data, dimensions=dimensions)
        outcome = compare_models(runner, (model, other), run, inputs, launches=launches)
    if isinstance(outcome, Failure):
        click.echo(f"{outcome.stage}: {outcome.message}", err=True)
        sys.exit(1)
    ratio = outcome.ratio
    click.echo(f"time of {other} ÷ time of {model}, batch {batch_size}, {threads} threads:")
    click.echo(f"  {ratio.value:.4f}  (95 % interval {ratio.low:.4f} … {ratio.high:.4f})")
    words = {
        "faster": f"{other} is {1 / ratio.value:.2f}× faster",
        "slower": f"{other} is {ratio.value:.2f}× slower",
        "cannot tell": "cannot tell them apart",
    }
    click.echo(f"verdict: {words[outcome.verdict]}")
