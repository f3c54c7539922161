"""What ``paretune measure --json`` and ``paretune compare --json`` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from paretune.runners.measure.comparison import Comparison
from paretune.runners.measure.model_report import ModelReport
from paretune.search.cli.values.base import Interval, Values
from paretune.search.review.model_console import reports_as_json


class ShareValues(Values):
    """The share of one execution provider."""

    nodes: int = Field(description="Nodes of the graph that ran on it.")
    node_share: float = Field(description="Their share of all nodes, in [0, 1].")
    time_share: float = Field(description="Their share of the time, in [0, 1].")
    host_nodes: list[str] = Field(description="Those that compute shapes on the host for a card.")
    operators: list[tuple[str, int, float]] = Field(
        description="Each operator type, its nodes and its share of the time; empty on a card."
    )


class OperatorValues(Values):
    """The time of one operator type."""

    operator: str = Field(description="Its type, such as `Conv`.")
    provider: str = Field(description="The execution provider that ran it.")
    nodes: int = Field(description="Nodes of that type.")
    ms_per_call: float = Field(description="Their milliseconds in one call.")
    share: float = Field(description="Their share of the time of all nodes, in [0, 1].")


class MeasureValues(Values):
    """A model file at one batch size."""

    model: str = Field(description="The file.")
    run: dict[str, Any] = Field(description="Runner, provider, batch size, threads and the rest.")
    statistics: dict[str, Interval] = Field(
        description="Each metric with its interval, by a name that ends in its unit, such as "
        "`latency_p95_ms` (per call, lower is better) or `throughput_samples_per_s` (higher is)."
    )
    is_resolved: bool = Field(description="Whether the intervals became as tight as asked.")
    host_was_idle: bool = Field(description="Whether nothing else ran on the machine.")
    contaminated_launches: int = Field(description="Disturbed launches that were repeated.")
    launches: list[dict[str, Any]] = Field(
        description="Each fresh process, with `latency_ms`, the milliseconds of every timed call."
    )
    providers: dict[str, ShareValues] = Field(description="What ran it, by the runtime's profile.")
    cost: dict[str, float] = Field(description="Seconds that the measurement took, by purpose.")
    operators: list[OperatorValues] = Field(description="Time by operator, the slowest first.")
    bottleneck: str = Field(description="Where the time of a call goes, in words.")
    environment: dict[str, Any] = Field(description="The machine and versions.")


class CompareValues(Values):
    """One model file compared with another."""

    model: str = Field(description="The file to compare with.")
    other: str = Field(description="The file that is judged.")
    batch_size: int = Field(description="Samples in one call.")
    threads: int = Field(description="Threads per operator.")
    ratio: Interval = Field(description="Time of `other` ÷ time of `model`: below 1 is faster.")
    launch_ratios: list[float] = Field(description="The same ratio in each fresh process.")
    verdict: str = Field(description="`other` is `faster`, `slower`, or `cannot tell`.")


def measure_values(reports: Sequence[ModelReport], *, raw: bool = True) -> list[MeasureValues]:
    """Return measurements as they are printed.

    Args:
        reports: The measurements.
        raw: Whether launches have the time of every call.
    """
    return [MeasureValues.model_validate(each) for each in reports_as_json(reports, raw=raw)]


def compare_values(
    model: Path, other: Path, batch_size: int, threads: int, found: Comparison
) -> CompareValues:
    """Return a comparison as it is printed."""
    return CompareValues(
        model=str(model),
        other=str(other),
        batch_size=batch_size,
        threads=threads,
        ratio=Interval.of(found.ratio),
        launch_ratios=list(found.launch_ratios),
        verdict=found.verdict,
    )
