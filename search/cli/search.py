"""The commands that run a study: search and confirm."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from paretune.search.cli import fleet as cli_fleet
from paretune.search.cli.each_device import arguments, search_each
from paretune.search.cli.inputs import input_options
from paretune.search.cli.interruption import interruptible
from paretune.search.cli.study import study_argument
from paretune.search.cli.wish import wish_options

if TYPE_CHECKING:
    from paretune.search.record.history import History
    from paretune.search.run.search_result import SearchResult

_MAKES_A_STUDY = [
    "onnx",
    "data",
    "labels",
    "metric",
    "outputs",
    "constants",
    "batch_axes",
    "shapes",
    "out",
]
_FILE = click.Path(path_type=Path, dir_okay=False)
_quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print only problems, the final table and the next step."
)


@click.command()
@study_argument
@click.option(
    "--trials", type=click.IntRange(min=1), help="Trials in the whole study, the baseline included."
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Wall-clock hours of this search, confirmation included. The first trial may take longer.",
)
@wish_options
@click.option("--onnx", type=_FILE, help="Instead of STUDY: the ONNX file to make fast.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="With --onnx: samples, an .npz file with one array per model input, or a folder of .npy "
    "files.",
)
@click.option(
    "--labels", help="With --onnx: labels, the name of an array in --data or a .npy file."
)
@click.option(
    "--metric",
    help="With --onnx: accuracy, f1, mse, cosine, mean-iou, accuracy(ignore=255) … (docs/data.md), "
    "or your own as FILE.py:NAME.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    help="With --onnx: an output to judge; all by default, or the first if there are labels. "
    "Repeatable.",
)
@input_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="With --onnx: the folder to write the study into.",
)
@cli_fleet.fleet_options(
    "the device to measure on. Several, each with its own --device, get a study each: "
    "study.DEVICE.yaml. By default the study file's `devices`, or the fleet's only one.",
    several=True,
)
@click.option(
    "--join",
    is_flag=True,
    help="Help a search of STUDY that runs already, on this host or another; without one, begin "
    "it. Needs `storage` on PostgreSQL.",
)
@click.option(
    "--again",
    is_flag=True,
    help="Measure what STUDY published again, as the machine is now, without building anything; "
    "search on only if the frontier moved.",
)
@_quiet_option
def search(
    study: Path,
    trials: int | None,
    hours: float | None,
    onnx: Path | None,
    data: Path | None,
    labels: str | None,
    metric: str | None,
    outputs: tuple[str, ...],
    constants: dict[str, Any],
    batch_axes: dict[str, int | None],
    shapes: dict[str, list[int]],
    out: Path | None,
    scheduler: str | None,
    devices: tuple[str, ...],
    join: bool,
    again: bool,
    quiet: bool,
    **wish: Any,
) -> None:
    """Run STUDY (study.yaml by default), or continue it where it stopped.

    With --onnx you need no study file: the command writes one into the folder MODEL-study. It tries
    every quantization, some batch sizes and thread counts, and every installed runtime. Without
    labels, quality is how close the outputs stay to the original's.

    --max-latency-ms, --max-accuracy-drop, --min-accuracy and --batch-size steer the search to what
    you will pick. They forbid nothing, override the study file's `wish`, and apply to this search
    only. Without a limit on quality, candidates that lose more than a tenth of it do not count.

    At the end the search confirms the frontier: it measures it again and publishes it with
    intervals. A budget in hours includes time for that. Everything is written to the study's
    output_dir. You can kill the process at any time: the same command continues, and at most the
    trials in flight are repeated.

    Start the same command with --join in several places, in any order, and they share the trials:
    no candidate is tried twice. The first one owns the study: it alone writes MLflow, keeps the
    store below its limit, and confirms and publishes once all trials have ended. If it dies,
    another takes its place, and the trials of whoever dies are tried again. All need one database
    on PostgreSQL, the same study file and code, the same kind of processor, and one store.

    When the service has become slower, --again measures the published points again, with the
    baseline. It prints each value beside the published one, and what else is different: versions,
    kernel, microcode, governor, the core's own speed. The fresh values are published; `paretune
    status` shows the old ones. The search goes on if a point left the frontier, the order of two
    points changed, or the wish picks another point because a value left its interval.

    \b
    Exit codes: 0 a confirmed frontier exists, or another process makes it (--join);
                  with --again, it holds, or was searched on and confirmed;
                1 there is none, or the study stopped early;
                2 the study file or the command has mistakes;
                130 interrupted (Ctrl-C), 143 terminated (SIGTERM).
    """
    from rich.markup import escape

    from paretune.search.configure.study_file import read_study_file
    from paretune.search.review.console import console
    from paretune.search.review.terminal.reporters import terminal_reporter
    from paretune.search.study import api
    from paretune.search.study.fleet.devices import write_device_files

    context = click.get_current_context()
    if onnx is not None:
        source = context.get_parameter_source("study")
        if source is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError("give either STUDY or --onnx, not both: --onnx writes a study")
        if data is None:
            raise click.UsageError("--onnx needs --data: samples for calibration and quality")
        study = api.onnx_study(
            onnx,
            data,
            labels=labels,
            metric=metric,
            outputs=outputs or None,
            constants=constants,
            batch_axes=batch_axes,
            shapes=shapes,
            folder=out,
        )
        if not quiet:
            console.print(f"the study is {escape(str(study))}")
    elif any((data, labels, metric, outputs, constants, batch_axes, shapes, out)):
        raise click.UsageError(
            "--data, --labels, --metric, --output, --constant, --batch-axis, --shape and --out "
            "need --onnx"
        )
    if join and scheduler:
        raise click.UsageError(
            "--join and --scheduler exclude each other: with --join each machine measures for "
            "itself, with --scheduler a fleet measures for one search. Leave one out"
        )
    if again and (join or onnx is not None):
        raise click.UsageError(
            "--again cannot be combined with --join or --onnx: it measures what STUDY has "
            "published, in one process"
        )
    named = devices or (read_study_file(study).devices if scheduler else ())
    if len(named) > 1:
        files = write_device_files(study, named)
        options = arguments(context, without=(*_MAKES_A_STUDY, "devices"))
        sys.exit(search_each(files, options))
    reporter = terminal_reporter(quiet=quiet)
    with interruptible(study, reporter):
        result = api.run(
            study,
            trials=trials,
            hours=hours,
            scheduler=scheduler,
            device=next(iter(named), None),
            join=join,
            again=again,
            reporter=reporter,
            **wish,
        )
    _print_result(study, result, quiet=quiet)


def _print_result(study: Path, result: SearchResult, *, quiet: bool) -> None:
    """Print how a search ended, what it found and the next step; exit if there is no result."""
    from rich.markup import escape

    from paretune.search.review.console import console, failure_table
    from paretune.search.review.frontier_table import frontier_table
    from paretune.search.review.terminal.best import best_again_text

    history, path = result.history, escape(quote(str(study)))
    if not quiet:
        console.print(f"\n{result.reason}; {len(history.failed)} failed")
    if history.failed:
        console.print(failure_table(history))
    if result.owner is not None:
        console.print(
            f"the study belongs to {escape(result.owner)}, which finishes it; to follow: "
            f"paretune status {path}",
            soft_wrap=True,
        )
        return
    if not history.frontier:
        console.print("no frontier: no measured trial keeps the study's constraints")
        sys.exit(1)
    console.print(frontier_table(history))
    if text := best_again_text(history):
        console.print(escape(text), soft_wrap=True)
    if result.wants_confirmation and not history.published:
        console.print(
            "nothing could be confirmed: these are the search's own values; "
            f"confirm them: paretune confirm {path}",
            soft_wrap=True,
        )
        sys.exit(1)
    _print_next(study, history)


def _print_next(study: Path, history: History, *, confirms: bool = True) -> None:
    """Print the command that picks what was wished for, after that which measures what is left.

    Args:
        study: The study file.
        history: The study.
        confirms: Whether to propose the latter.
    """
    from rich.markup import escape

    from paretune.search.review.console import console

    path, wish = escape(quote(str(study))), history.wish
    confirm = f"paretune confirm {path}   then   " * (confirms and bool(history.unconfirmed))
    limits = []
    if wish.max_latency_ms is not None:
        limits.append(f"--max-latency-ms {wish.max_latency_ms:g} --percentile {wish.percentile}")
    if wish.max_quality_drop is not None:
        limits.append(f"--max-accuracy-drop {wish.max_quality_drop:g}")
    if wish.min_quality is not None:
        limits.append(f"--min-accuracy {wish.min_quality:g}")
    wished = " ".join(limits) or "--max-latency-ms MS"
    console.print(
        f"next: {confirm}paretune pick {path} {wished} --out DIR   or   paretune ui {path}",
        soft_wrap=True,
    )


@click.command()
@study_argument
@click.option(
    "--hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Wall-clock hours that the confirmation may take.",
)
@cli_fleet.fleet_options("the device to measure on, if there are several.")
@_quiet_option
def confirm(
    study: Path, hours: float | None, scheduler: str | None, device: str | None, quiet: bool
) -> None:
    """Measure STUDY's plausible points again, and publish the frontier.

    Every search ends with a confirmation. The best of many noisy values is partly luck, so every
    point that may be on the frontier is measured again: in fresh processes that take turns, with
    the careful protocol, and with quality from the test split, which the search never saw.

    It takes about a minute per point, and says how long when it begins. With fewer --hours, the
    likeliest points are measured.
    """
    from paretune.search.review.console import console
    from paretune.search.review.frontier_table import frontier_table
    from paretune.search.review.terminal.reporters import terminal_reporter
    from paretune.search.study import api

    reporter = terminal_reporter(quiet=quiet)
    with interruptible(study, reporter):
        history = api.confirm(
            study, hours=hours, scheduler=scheduler, device=device, reporter=reporter
        )
    console.print(frontier_table(history))
    if not history.published:
        sys.exit(1)
    _print_next(study, history, confirms=hours is not None)
