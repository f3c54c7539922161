"""What the command line shows: progress with ETA, and tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from runners.devices import Device
from runners.metric import METRICS
from runners.statistic import Statistic
from search.budget import Budget
from search.history import History
from search.shortfall import shortfalls
from search.summary import format_metric, likely_text, shown_metrics
from search.trial import TrialRecord
from spaces import Candidate, SearchSpace

_WIDE = 136

console = Console(highlight=False)
if not console.is_terminal:
    # A file or a pipe has no width of its own: leave the tables whole.
    console = Console(highlight=False, width=_WIDE)


class ConsoleReporter:
    """Prints a line a trial, with a progress bar below it on a terminal.

    Args:
        out: Where to print; standard output by default.
    """

    def __init__(self, out: Console | None = None) -> None:
        self.console = out or console
        self._bar: Progress | None = None
        self._started = time.monotonic()
        self._before = 0
        self._durations: list[float] = []
        self._best = _Best()
        self._budget = Budget(1)

    def started(self, name: str, space: SearchSpace, history: History, budget: Budget) -> None:
        """Say what is searched and how much is left to do."""
        self._budget = budget
        self._started = time.monotonic()
        self._before = len(history.records)
        goals = ", ".join(f"{o.metric} {o.arrow}" for o in history.objectives)
        self.console.print(
            f"[bold]{escape(name)}[/]: {space.size:,} combinations, looking for {goals}",
            soft_wrap=True,
        )
        limit = f" or {budget.hours:g} h" if budget.hours else ""
        self.console.print(f"{self._before} trials done, budget {budget.trials}{limit}")
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[eta]}"),
                console=self.console,
                transient=True,
            )
            self._bar.add_task("", total=budget.trials, completed=self._before, eta="")
            self._bar.start()

    def trial_started(self, number: int, candidate: Candidate) -> None:
        """Show what is being tried."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], description=escape(candidate.label))

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Print the trial's line."""
        self._durations.append(record.seconds)
        done = len(history.records)
        eta = self._eta(done)
        line = _trial_line(record, history, self._budget.trials, eta)
        if record.measurement:
            line += self._best.so_far(history)
        self.console.print(line, soft_wrap=True)
        for text in shortfalls(record, history):
            self.console.print(f"    [yellow]{escape(text)}[/]", soft_wrap=True)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done, eta=eta)

    def gave_up(self, reason: str) -> None:
        """Say what is not tried any more."""
        self.console.print(f"[yellow]not tried any more:[/] {escape(reason)}", soft_wrap=True)

    def confirming(self, round_number: int, left: int, points: int) -> None:
        """Say how confirmation goes on."""
        if round_number == 0 and left == points:
            self.stop()
            self.console.print(
                f"\nconfirming {points} plausible points: fresh processes, the test split"
            )
        elif round_number:
            self.console.print(f"  round {round_number}: {left} of {points} are not settled yet")

    def stop(self) -> None:
        """Take the progress bar away."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _eta(self, done: int) -> str:
        recent = self._durations[-10:]
        left = max(self._budget.trials - done, 0) * sum(recent) / len(recent)
        if self._budget.hours:
            spent = time.monotonic() - self._started
            left = min(left, max(self._budget.hours * 3600 - spent, 0))
        return f"{_clock(left)} left"


def frontier_table(history: History) -> Table:
    """Return the frontier as a table, the baseline (trial 0) above it.

    Brackets hold how many times faster than the baseline's a call is.
    """
    metrics = shown_metrics(history)
    wide = console.width >= _WIDE
    if not wide:
        metrics = [objective.metric for objective in history.objectives]
    goals = {objective.metric: f" {objective.arrow}" for objective in history.objectives}
    title = f"frontier: {len(history.frontier)} of {len(history.measured)} measured trials"
    table = Table(
        title=title,
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1 if wide else 0, 0, 0),
        pad_edge=False,
    )
    for name in _knobs(wide):
        number = name in ("trial", "prune", "batch", "thr")
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for metric in metrics:
        head = _short(metric) + goals.get(metric, "")
        table.add_column(head, justify="right", no_wrap=True)
    points = history.frontier
    base = history.baseline
    if base and base not in points:
        table.add_row(*_cells(base, metrics, None, wide), style="dim", end_section=True)
    for record in points:
        table.add_row(*_cells(record, metrics, base, wide), style="bold" if record is base else "")
    return table


def published_table(history: History) -> Table:
    """Return the published frontier as a table: fresh values, half widths of their intervals."""
    goals = [objective.metric for objective in history.objectives]
    metrics = list(dict.fromkeys([*goals, "latency_p50_ms"])) if console.width >= _WIDE else goals
    left_out = len(history.frontier) - len(history.published)
    table = Table(
        title=f"published frontier: {len(history.published)} points, measured again",
        caption=f"P: probability that no other point dominates it. "
        f"{len(history.confirmed)} points were measured again; the search's own frontier had "
        f"{len(history.frontier)}"
        + (f", {left_out} too many" if left_out > 0 else "")
        + (f"\n{text}" if (text := likely_text(history)) else ""),
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    wide = console.width >= _WIDE
    for name in _knobs(wide):
        number = name in ("trial", "prune", "batch", "thr")
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for metric in metrics:
        arrow = next((f" {o.arrow}" for o in history.objectives if o.metric == metric), "")
        table.add_column(_short(metric) + arrow, justify="right", no_wrap=True)
    table.add_column("P", justify="right", no_wrap=True)
    table.add_column("ties", overflow="fold", min_width=5)
    records = {record.number: record for record in history.records}
    for point in history.published:
        record = replace(records[point.number], outcome=point.measurement)
        cells = _cells(record, [], None, wide)
        for metric in metrics:
            cells.append(_with_half_width(metric, point.measurement.statistics[metric]))
        same = [str(other.number) for other in history.confirmed if other.same_as == point.number]
        table.add_row(*cells, f"{point.probability:.2f}", ", ".join(same))
    return table


def _with_half_width(metric: str, statistic: Statistic) -> str:
    text = format_metric(metric, statistic.value)
    if statistic.low is None or statistic.high is None:
        return text
    half = (statistic.high - statistic.low) / 2
    if metric in METRICS and METRICS[metric].is_ratio_scale:
        return f"{text} ±{half / statistic.value:.1%}"
    return f"{text} ±{half:.4f}"


def failure_table(history: History) -> Table:
    """Return failures by cause as a table."""
    table = Table(title=f"{len(history.failed)} failed trials")
    table.add_column("trials", justify="right")
    table.add_column("cause", overflow="fold")
    for cause, count in history.failures_by_cause:
        table.add_row(str(count), escape(cause))
    return table


def device_table(devices: Sequence[Device]) -> Table:
    """Return what can run here and what cannot."""
    table = Table()
    for name in ("runs", "runner", "execution provider", "why"):
        table.add_column(name, overflow="fold")
    for device in devices:
        mark = "[green]yes[/]" if device.works else "[red]no[/]"
        table.add_row(mark, device.runner, device.execution_provider, escape(device.detail))
    return table


def _trial_line(record: TrialRecord, history: History, total: int, eta: str) -> str:
    progress = f"[{len(history.records)}/{total} · {eta}]"
    head = escape(f"{progress} trial {record.number}: {record.candidate.label}")
    if record.failure:
        reason = escape(record.failure.message.strip().splitlines()[0])
        return f"{head} [red]failed[/] in {record.failure.stage} ({record.failure.kind}): {reason}"
    if record.skip:
        return (
            f"{head} [yellow]skipped[/] before {record.skip.before}: {escape(record.skip.reason)}"
        )
    values = ", ".join(
        f"{_short(o.metric)} {format_metric(o.metric, record.metrics[o.metric])}"
        for o in history.objectives
    )
    star = "  [green]★ frontier[/]" if record in history.frontier else ""
    return f"{head} → {values}{star}"


class _Best:
    """The fastest call at, or within one percent of, the baseline's quality."""

    def __init__(self) -> None:
        self._seen = 0
        self._best: tuple[float, int] | None = None

    def so_far(self, history: History) -> str:
        """Name it, having looked at the trials that are new."""
        base, metric, quality = history.baseline, "latency_p95_ms", history.quality_metric
        if base is None:
            return ""
        floor = base.metrics[quality] - 0.01 * abs(base.metrics[quality])
        for record in history.feasible[self._seen :]:
            metrics = record.metrics
            found = metrics[metric], record.number
            if metrics[quality] >= floor and (self._best is None or found < self._best):
                self._best = found
        self._seen = len(history.feasible)
        latency, number = self._best or (base.metrics[metric], base.number)
        gain = base.metrics[metric] / latency
        return f"  [dim]best within 1 %: {gain:.1f}× faster (trial {number})[/]"


def _knobs(wide: bool) -> list[str]:
    knobs = ["trial", "student", "prune", "quantization", "batch", "thr"]
    return [*knobs, "provider"] if wide else knobs


def _cells(
    record: TrialRecord, metrics: Sequence[str], base: TrialRecord | None, wide: bool
) -> list[str]:
    params, run = record.candidate.params, record.candidate.run
    cells = {
        "trial": f"{record.number}",
        "student": f"{params['student']}",
        "prune": f"{params['pruning_ratio']:g}",
        "quantization": record.candidate.build.scheme,
        "batch": f"{run.batch_size}",
        "thr": f"{run.intra_op_threads}",
        "provider": run.execution_provider.removesuffix("ExecutionProvider"),
    }
    values = []
    for metric in metrics:
        text = format_metric(metric, record.metrics[metric])
        if wide and base and record is not base and metric == "latency_p95_ms":
            text += f" ({base.metrics[metric] / record.metrics[metric]:.1f}×)"
        values.append(text)
    return [cells[name] for name in _knobs(wide)] + values


def _short(metric: str) -> str:
    short = {"throughput_samples_per_s": "samples/s", "size_bytes": "bytes"}
    name = short.get(metric, metric.removeprefix("latency_"))
    return name.removesuffix("_ms") + " ms" if name.endswith("_ms") else name


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
