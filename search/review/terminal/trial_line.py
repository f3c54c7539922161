"""A finished trial as one line."""

from __future__ import annotations

from rich.markup import escape
from rich.text import Text

from paretune.runners.metric import metric_of
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.spaces import Candidate, GraphOptimization, SearchSpace

_VALUE_WIDTH = 7
"""Characters of a value, so that the values of several trials stand below each other."""

_LABEL_WIDTH = 32
"""Columns that a label has at least, if it needs them, even if values are left out for that."""

_LABEL_SHARE = 0.25
"""Largest share of a failed trial's line for what was tried; the rest says why it failed."""


def clock(seconds: float) -> str:
    """Return a duration as people read it: 3:20, or 1:03:20 with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short_label(candidate: Candidate, space: SearchSpace) -> str:
    """Return a candidate's label without what all candidates of a space share, or lack."""
    build, run = candidate.build, candidate.run
    varied = {axis.name for axis in space.axes if len(axis.values) > 1}
    parts = {
        "student": build.student,
        "pruning_ratio": f"prune {build.pruning_ratio:g}" if build.pruning_ratio else "",
        "": build.scheme,
        "batch_size": f"batch {run.batch_size}",
        "execution_provider": run.target.removesuffix("ExecutionProvider"),
        "intra_op_threads": f"{run.intra_op_threads} thr",
    }
    if run.graph_optimization != GraphOptimization.ALL:
        parts["graph_optimization"] = f"graph {run.graph_optimization}"
    parts |= {name: f"{name} {value}" for name, value in run.options}
    shown = [text for name, text in parts.items() if text and (not name or name in varied)]
    return " · ".join(shown)


def plain_line(record: TrialRecord, history: History, progress: str) -> str:
    """Return a finished trial as a line of markup, as long as it is.

    Args:
        record: The trial.
        history: The study, with the trial.
        progress: What stands first: trials and time left.
    """
    head = escape(f"[{progress}] trial {record.number}: {record.candidate.label}")
    if record.failure:
        return f"{head} [red]failed[/] {escape(_why_failed(record))}"
    if record.skip:
        return (
            f"{head} [yellow]skipped[/] before {record.skip.before}: {escape(record.skip.reason)}"
        )
    shown = [metric_of(goal.metric) for goal in history.objectives]
    values = ", ".join(
        f"{metric.head} {metric.text(record.metrics[metric.name])}" for metric in shown
    )
    is_best = record in history.frontier and history.is_of_interest(record)
    star = "  [green]★ frontier[/]" if is_best else ""
    return f"{head} → {values}{star}"


def short_line(record: TrialRecord, history: History, label: str, width: int) -> Text:
    """Return a finished trial as a line that fits: what it is good for, then what it is.

    Args:
        record: The trial.
        history: The study, with the trial.
        label: The candidate, in words.
        width: Columns of the terminal.
    """
    line = Text(f"trial {record.number:>3} ", no_wrap=True, overflow="ellipsis")
    if record.measurement:
        is_best = record in history.frontier and history.is_of_interest(record)
        line.append("★ " if is_best else "  ", "green")
        for place, goal in enumerate(history.objectives):
            metric = metric_of(goal.metric)
            value = f"{metric.text(record.metrics[metric.name]):>{_VALUE_WIDTH}}"
            more = Text(f"{metric.head} ", "dim").append(f"{value}  ", "not dim")
            fits = len(line) + len(more) + min(len(label), _LABEL_WIDTH) <= width
            if fits or place == 0:
                line.append_text(more)
        line.append(label)
    else:
        tried = Text(label)
        tried.truncate(int(_LABEL_SHARE * width), overflow="ellipsis")
        is_failure = record.failure is not None
        line.append("✗ failed " if is_failure else "– skipped ", "red" if is_failure else "yellow")
        why = f"before {record.skip.before}: {record.skip.reason}" if record.skip else ""
        line.append_text(tried).append(f" {_why_failed(record) if is_failure else why}")
    line.truncate(width, overflow="ellipsis")
    return line


def _why_failed(record: TrialRecord) -> str:
    """Return where and why a trial failed, in a line."""
    failure = record.failure
    if failure is None:
        return ""
    message = failure.message.strip().partition("\n")[0]
    return f"in {failure.stage} ({failure.kind}): {message}"
