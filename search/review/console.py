"""The output of the command line: progress with ETA, and tables."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from paretune.runners.execute.training_file import OngoingTraining
from paretune.runners.fleet.fleet import HostState
from paretune.runners.metric import metric_of
from paretune.runners.runtimes.devices import Device
from paretune.search.record.gains import latency_metric
from paretune.search.record.history import History
from paretune.search.record.search_time import seconds_per_trial
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import goals_text
from paretune.search.review.shortfall import shortfalls
from paretune.search.run.budget import Budget
from paretune.spaces import Candidate, SearchSpace

WIDE = 180
"""Minimum width of the terminal for tables with intervals."""

_TRAINING_EVERY_S = 30.0
"""Seconds between two lines about trainings where there is no bar. Chosen by judgement."""

console = Console(highlight=False)
if not console.is_terminal:
    # A file or a pipe has no width of its own: leave the tables whole.
    console = Console(highlight=False, width=WIDE)


class ConsoleReporter:
    """Prints one line per trial, on a terminal with a progress bar below.

    Args:
        out: The console to print on; standard output by default.
    """

    def __init__(self, out: Console | None = None) -> None:
        self.console = out or console
        self._bar: Progress | None = None
        self._ends = [time.monotonic()]
        self._told_at = time.monotonic()
        self._before = 0
        self._best = Best()
        self._budget = Budget(1)

    def started(self, name: str, space: SearchSpace, history: History, budget: Budget) -> None:
        """Print the space, the objectives and the budget."""
        self._budget = budget
        self._ends = [time.monotonic()]
        self._before = len(history.records)
        self.console.print(
            f"[bold]{escape(name)}[/]: {space.size:,} combinations, looking for "
            f"{goals_text(history)}" + (f"; wish: {wish}" if (wish := history.wish.text) else ""),
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

    def noted(self, text: str) -> None:
        """Print what a person should know."""
        self.console.print(f"[yellow]note:[/] {escape(text)}", soft_wrap=True)

    def trial_started(self, number: int, candidate: Candidate) -> None:
        """Show the trial that begins."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], description=escape(candidate.label))

    def training(self, trainings: Sequence[OngoingTraining]) -> None:
        """Show how far trainings are: in the bar, or else on a line now and then."""
        text = "; ".join(each.words for each in trainings)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], description=escape(text))
        elif time.monotonic() - self._told_at > _TRAINING_EVERY_S:
            self._told_at = time.monotonic()
            self.console.print(f"    [dim]{escape(text)}[/]", soft_wrap=True)

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        """Print the trial's line."""
        self._ends.append(time.monotonic())
        done = len(history.records)
        eta = self._eta(done)
        line = _trial_line(record, history, self._budget.trials, eta)
        if record.measurement:
            line += _best_text(self._best.update(history), history)
        self.console.print(line, soft_wrap=True)
        for text in shortfalls(record, history):
            self.console.print(f"    [yellow]{escape(text)}[/]", soft_wrap=True)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=done, eta=eta)

    def gave_up(self, reason: str) -> None:
        """Print what is excluded from now on."""
        self.console.print(f"[yellow]no longer tried:[/] {escape(reason)}", soft_wrap=True)

    def confirming(self, round_number: int, left: int, points: int) -> None:
        """Print the progress of the confirmation."""
        if round_number == 0 and left == points:
            self.stop()
            which = "1 plausible point" if points == 1 else f"{points} plausible points"
            self.console.print(f"\nconfirming {which}: fresh processes, the test split")
        elif round_number:
            self.console.print(f"  round {round_number}: {left} of {points} are not settled yet")

    def stop(self) -> None:
        """Remove the progress bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _eta(self, done: int) -> str:
        left = max(self._budget.trials - done, 0) * seconds_per_trial(self._ends)
        if self._budget.hours:
            spent = time.monotonic() - self._ends[0]
            left = min(left, max(self._budget.hours * 3600 - spent, 0))
        return f"{clock(left)} left"


def failure_table(history: History) -> Table:
    """Return failures by cause as a table."""
    table = Table(title=f"{len(history.failed)} failed trials")
    table.add_column("trials", justify="right")
    table.add_column("cause", overflow="fold")
    for cause, count in history.failures_by_cause:
        table.add_row(str(count), escape(cause))
    return table


def device_table(devices: Sequence[Device]) -> Table:
    """Return the execution providers, with whether they run here, as a table."""
    table = Table()
    for name in ("runs", "runner", "execution provider", "why"):
        table.add_column(name, overflow="fold")
    for device in devices:
        mark = "[green]yes[/]" if device.works else "[red]no[/]"
        table.add_row(mark, device.runner, device.execution_provider, escape(device.detail))
    return table


def fleet_table(hosts: Sequence[HostState]) -> Table:
    """Return the hosts of a fleet, with what they offer and do, as a table."""
    table = Table()
    for name in ("host", "offers", "does now", "processor", "cores", "now at"):
        table.add_column(name, overflow="fold")
    for host in hosts:
        offers = ", ".join(
            slot if count == 1 else f"{slot} × {count}" for slot, count in host.offers.items()
        )
        machine = host.machine
        table.add_row(
            escape(host.name),
            escape(offers),
            ", ".join(host.jobs) or "nothing",
            escape(machine["processor"]),
            machine["cores"],
            ", ".join(f"{value:.0f} {unit}" for unit, value in host.condition.items()) or "?",
        )
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
    shown = [metric_of(goal.metric) for goal in history.objectives]
    values = ", ".join(
        f"{metric.head} {metric.text(record.metrics[metric.name])}" for metric in shown
    )
    star = "  [green]★ frontier[/]" if record in history.frontier else ""
    return f"{head} → {values}{star}"


class Best:
    """The fastest trial whose quality is at most one percent below the baseline's."""

    def __init__(self) -> None:
        self._seen = 0
        self._best: tuple[float, int, TrialRecord] | None = None

    def update(self, history: History) -> TrialRecord | None:
        """Return it, after including new trials; ``None`` without a measured baseline."""
        base, metric, quality = history.baseline, latency_metric(history), history.quality_metric
        if base is None:
            return None
        floor = base.metrics[quality] - 0.01 * abs(base.metrics[quality])
        for record in history.feasible[self._seen :]:
            metrics = record.metrics
            found = metrics[metric], record.number, record
            if metrics[quality] >= floor and (self._best is None or found[:2] < self._best[:2]):
                self._best = found
        self._seen = len(history.feasible)
        return self._best[2] if self._best else base


def _best_text(best: TrialRecord | None, history: History) -> str:
    if best is None or history.baseline is None:
        return ""
    metric = latency_metric(history)
    gain = history.baseline.metrics[metric] / best.metrics[metric]
    return f"  [dim]best within 1 %: {gain:.1f}× faster (trial {best.number})[/]"


def clock(seconds: float) -> str:
    """Return a duration as people read it: 3:20, or 1:03:20 with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
