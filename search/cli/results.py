"""Commands that print what a study has found."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote

import click

from paretune.search.cli.study import StudyFirst, json_option, study_argument
from paretune.spaces.errors import ParetuneError


@click.command()
@study_argument
@json_option
def status(study: Path, as_json: bool) -> None:
    """Show the progress of STUDY: trials, time left, failures, seconds per stage, hypervolume.

    A search may be running: the command only reads.
    """
    from rich.markup import escape

    from paretune.search.cli.values import base
    from paretune.search.cli.values.status import values_of
    from paretune.search.record.words import counted, format_metric, unconfirmed_text
    from paretune.search.review.console import console, failure_table
    from paretune.search.review.earlier_text import published_text
    from paretune.search.review.terminal.trial_line import clock
    from paretune.search.study.open_study import OpenStudy

    opened = OpenStudy(study)
    history = opened.history()
    values = values_of(opened, history)
    if as_json:
        click.echo(base.as_json(values))
        return
    if values.is_running:
        left = values.time_left_s
        about = "" if left is None else f", about {clock(left)} left"
        console.print(
            f"{values.state}: {escape(str(values.process))}; {values.trials} of "
            f"{values.budget_trials} trials{about}"
        )
    console.print(
        f"{counted(len(history.records), 'trial')}: {len(history.measured)} measured, "
        f"{len(history.skipped)} skipped, {len(history.failed)} failed, "
        f"{len(history.frontier)} on the search's frontier"
    )
    if history.confirmed:
        console.print(
            f"{counted(len(history.confirmed), 'point')} measured again, "
            f"{len(history.published)} published"
        )
        if waiting := unconfirmed_text(history):
            console.print(waiting)
        for earlier in opened.storage.published_before():
            console.print(f"  {escape(published_text(earlier, history))}", soft_wrap=True)
    elif history.frontier:
        path = escape(quote(str(study)))
        console.print(f"not confirmed yet: finish the search, or run `paretune confirm {path}`")
    if history.reference is not None:
        ends = zip(history.objectives, history.reference, strict=True)
        at = [f"{o.metric} {format_metric(o.metric, o.value(end))}" for o, end in ends]
        console.print(f"hypervolume {history.hypervolume:.4f} (log scale, from {', '.join(at)})")
    for stage, spent in values.stages.items():
        each = spent.seconds / spent.times
        console.print(f"  {stage:<14} {spent.seconds:8.1f} s  ({spent.times} ×, {each:.2f} s each)")
    saved = values.saved_seconds
    console.print(
        f"stages taken from the store, and not run again: {saved:.1f} s, counted for each trial "
        "that took them"
    )
    if values.machine_drift is not None:
        drift = values.machine_drift
        console.print(
            f"the machine itself: at its slowest trial the same arithmetic took {1 + drift:.2f} "
            "times as long as at its quickest"
        )
    if history.failed:
        console.print(failure_table(history))


@click.command()
@study_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    help="How to print it.",
)
@json_option
@click.option(
    "--searched", is_flag=True, help="Print the search's own frontier, by unconfirmed values."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Also write an interactive HTML plot here."
)
@click.option(
    "--for-each-device",
    is_flag=True,
    help="The frontiers of all devices that STUDY was searched on (`paretune search --device A "
    "--device B`), in one table.",
)
def frontier(
    study: Path,
    form: str,
    as_json: bool,
    searched: bool,
    plot: Path | None,
    for_each_device: bool,
) -> None:
    """Print the published frontier of STUDY, with each point's gains against the baseline.

    Published points were measured again at the end of a search, on the test split. Before that, and
    with --searched, the command prints the search's own frontier: the best of many brief
    measurements, which is partly luck. All formats hold the same rows and values.
    """
    import csv

    from paretune.search.cli.values.base import as_json as as_text
    from paretune.search.cli.values.frontier import FrontierPoint
    from paretune.search.review.frontier_rows import flat_values, frontier_rows, row_values
    from paretune.search.study import api
    from paretune.search.study.fleet.devices import device_files

    if for_each_device and plot:
        raise click.UsageError("--plot shows one study: give it without --for-each-device")
    files = device_files(study) if for_each_device else {"": study}
    histories = {}
    for device, file in files.items():
        try:
            histories[device] = api.status(file)
        except ParetuneError as error:
            if not for_each_device:
                raise
            click.echo(f"{device}: {error}", err=True)
    if not histories:
        sys.exit(1)
    rows = [
        ({"device": device} if device else {}, row, history)
        for device, history in histories.items()
        for row in frontier_rows(history, searched=searched)
    ]
    if as_json or form == "json":
        click.echo(
            as_text([FrontierPoint(**on, **row_values(row, each)) for on, row, each in rows])
        )
    elif form == "csv":
        flat = [on | flat_values(row, history) for on, row, history in rows]
        writer = csv.DictWriter(sys.stdout, list(flat[0]) if flat else ["trial"])
        writer.writeheader()
        writer.writerows(flat)
    elif for_each_device:
        from paretune.search.review.console import console
        from paretune.search.review.devices_table import devices_table

        console.print(devices_table(histories, searched=searched))
    else:
        from paretune.search.review.console import console
        from paretune.search.review.frontier_table import frontier_table

        console.print(frontier_table(histories[""], searched=searched))
    if plot:
        from paretune.search.configure.study_file import read_study_file
        from paretune.search.review.plot import pareto_figure, write_html

        name = read_study_file(study).name
        write_html(pareto_figure(histories[""], name, searched=searched), plot)
        click.echo(f"wrote {plot}", err=True)


@click.command(cls=StudyFirst)
@study_argument
@click.argument("number", type=click.IntRange(min=0))
@json_option
def trial(study: Path, number: int, as_json: bool) -> None:
    """Show trial NUMBER of STUDY: what it was, its values, and why it failed or is not published.

    \b
    paretune trial study.yaml 7
    paretune trial 7 --json         # of ./study.yaml
    """
    from paretune.search.cli.values import base
    from paretune.search.cli.values.frontier import TrialValues
    from paretune.search.review.trial_text import trial_lines, trial_values
    from paretune.search.study import api
    from paretune.spaces import StudyError

    history = api.status(study)
    record = next((each for each in history.records if each.number == number), None)
    if record is None:
        numbers = [each.number for each in history.records]
        there = f"0 to {max(numbers)}" if numbers else "none yet"
        raise StudyError(
            f"there is no finished trial {number}; finished trials are {there} "
            "(`paretune status` counts them)"
        )
    if as_json:
        click.echo(base.as_json(TrialValues.model_validate(trial_values(record, history))))
    else:
        click.echo("\n".join(trial_lines(record, history)))
