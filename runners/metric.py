"""The table of recorded quantities: names, units, directions, and how each is shown.

Tables, cards, reports, files and MLflow ask it; none of them knows a name, unit or format itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

Direction = Literal["maximize", "minimize"]
Need = Literal["", "pipeline", "load", "energy", "card"]
Interval = Literal["timing", "launches", "samples", ""]
Place = Literal["frontier", "card", ""]


def _decimals(value: float) -> str:
    return f"{value:.4f}"


def _digits(value: float) -> str:
    return f"{value:.4g}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


_FAR_APART = 1.5
"""Upper end of an interval ÷ value from which on a percentage misleads. Chosen by judgement."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A recorded quantity.

    Attributes:
        name: Its name with the unit: the column in CSV, JSON and data frames, and the metric in
            MLflow. The ends of its interval are ``NAME_low`` and ``NAME_high`` everywhere.
        description: For people.
        head: Its name in narrow tables.
        unit: Its unit as people write it; empty for a quality.
        higher_is_better: Its natural direction.
        needs: What it takes to record it: the workload's ``pipeline``, a ``load`` in the study
            file, an ``energy`` counter, a ``card``; nothing if empty.
        interval: What its interval comes from: ``timing`` (launches, and the resolution of times),
            ``launches`` (these alone), ``samples`` of the split; empty if its value is exact.
        is_ratio_scale: Whether only its ratios matter (times, rates, sizes): such a quantity is
            compared, and passed to samplers, as a logarithm.
        is_goal: Whether a study may seek or limit it; the others say how a measurement went.
        is_of_file: Whether it belongs to the file, however that is run.
        is_latency: Whether it is the time of a call, a request or a query.
        shown: Where it is shown if it is not an objective: beside every point of a ``frontier``,
            on the ``card`` of a bundle.
        text: Returns a value for people, without the unit.
    """

    name: str
    description: str
    head: str
    unit: str = "ms"
    higher_is_better: bool = False
    needs: Need = ""
    interval: Interval = "timing"
    is_ratio_scale: bool = True
    is_goal: bool = True
    is_of_file: bool = False
    is_latency: bool = False
    shown: Place = ""
    text: Callable[[float], str] = _digits

    @property
    def direction(self) -> Direction:
        """The direction in which it is better."""
        return "maximize" if self.higher_is_better else "minimize"

    @property
    def low(self) -> str:
        """The name of the lower end of its interval."""
        return f"{self.name}_low"

    @property
    def high(self) -> str:
        """The name of the upper end of its interval."""
        return f"{self.name}_high"

    def change(self, difference: float) -> str:
        """Return a difference for people: with its sign, without the unit."""
        return ("-" if difference < 0 else "+") + self.text(abs(difference))

    def half_width(self, value: float, low: float, high: float) -> str:
        """Return an interval's half-width for people.

        On a ratio scale it is a share of the value, or a factor if the ends are far apart.
        """
        if not self.is_ratio_scale or not value:
            return f"±{self.text((high - low) / 2)}"
        # Intervals of older versions may end below zero.
        factor = (high / low) ** 0.5 if low > 0 else 1 + (high - low) / 2 / value
        return f"±{factor - 1:.1%}" if factor < _FAR_APART else f"×÷{factor:.1f}"


THROUGHPUT = "throughput_samples_per_s"
PEAK_MEMORY = "peak_memory_bytes"
SIZE = "size_bytes"
LOADING = "session_creation_ms"
FIRST_CALL = "first_inference_ms"
CPU_TIME = "cpu_time_ms"
ENERGY = "energy_mj"
FLIPPED = "flipped_share"

Percentile = Literal["p50", "p90", "p95", "p99"]
"""The percentiles of the time per call that are recorded."""

PERCENTILES = tuple(int(each.removeprefix("p")) for each in get_args(Percentile))

PIPELINE_PERCENTILES = (50, 95, 99)
"""The percentiles of times around the model that are recorded."""

_PART = re.compile(r"part_(?P<part>[^\W\d]\w*?)_latency_p(?P<percentile>50|95|99)_ms")
"""The metrics of parts of a request, which a pipeline names."""

_CALLS_BEYOND = 2
"""Calls that a launch must have beyond a percentile: with three launches there are six, so that no
single call decides. Chosen by judgement.
"""


def calls_for(percentile: int) -> int:
    """Return the calls that a launch must have timed to claim a percentile: 40 for the p95.

    The median needs no call beyond it to be a claim about the middle.
    """
    return 1 if percentile <= 50 else -(-100 * _CALLS_BEYOND // (100 - percentile))


def latency(percentile: str) -> str:
    """Return the metric of a percentile of the time per call, such as ``p95``."""
    return f"latency_{percentile}_ms"


MEDIAN_LATENCY = latency("p50")
END_TO_END_MEDIAN = f"end_to_end_{MEDIAN_LATENCY}"
USUAL_LATENCY = latency("p95")
"""The latency of a study, a wish and a picture that name no other."""

_CALLS = {50: "median time per inference call", 90: "90th percentile of the time per call"}
_CALLS |= {q: f"{q}th percentile of the time per call" for q in (95, 99)}
_PLACES: dict[int, Place] = {50: "frontier", 95: "frontier", 99: "card"}

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(
            Metric(
                latency(f"p{q}"), _CALLS[q], f"p{q} ms", is_latency=True, shown=_PLACES.get(q, "")
            )
            for q in PERCENTILES
        ),
        Metric(
            THROUGHPUT,
            "samples per second in a closed loop",
            "samples/s",
            unit="samples/s",
            higher_is_better=True,
            shown="frontier",
            text=_rate,
        ),
        Metric(LOADING, "time to load the model", "loading ms"),
        Metric(FIRST_CALL, "time of the first call", "first call ms"),
        Metric(CPU_TIME, "processor time per call, summed over threads", "CPU ms"),
        Metric(
            PEAK_MEMORY,
            "peak resident memory of the serving process",
            "memory bytes",
            unit="bytes",
            interval="launches",
            shown="card",
            text=_whole,
        ),
        Metric(
            SIZE,
            "size of the model's files",
            "bytes",
            unit="bytes",
            interval="",
            is_of_file=True,
            shown="frontier",
            text=_whole,
        ),
        Metric(
            FLIPPED,
            "share of answers (the largest score, a class, a text) that differ from the baseline's",
            "flipped",
            unit="",
            interval="",
            is_ratio_scale=False,
            is_goal=False,
            is_of_file=True,
            shown="card",
            text=_decimals,
        ),
        Metric(
            ENERGY,
            "energy per call on its device, in millijoules",
            "mJ",
            unit="mJ",
            needs="energy",
        ),
        Metric(
            "device_memory_bytes",
            "memory of the card that the process held at most",
            "card bytes",
            unit="bytes",
            needs="card",
            interval="launches",
            text=_whole,
        ),
        Metric(
            "sm_clock_mhz",
            "clock of the card's multiprocessors, the lower one of before and after",
            "clock MHz",
            unit="MHz",
            higher_is_better=True,
            needs="card",
            interval="launches",
            is_goal=False,
        ),
        Metric(
            "temperature_c",
            "temperature of the card after the timed calls",
            "°C",
            unit="°C",
            needs="card",
            interval="launches",
            is_ratio_scale=False,
            is_goal=False,
        ),
        *(
            Metric(
                f"{part}_latency_p{q}_ms",
                f"p{q} of the time {what} a batch",
                f"{part.replace('_', '-')} p{q} ms",
                needs="pipeline",
                is_latency=True,
                shown="card" if part == "end_to_end" else "",
            )
            for part, what in (
                ("preprocess", "to pre-process"),
                ("postprocess", "to post-process"),
                ("end_to_end", "from request to answer for"),
            )
            for q in PIPELINE_PERCENTILES
        ),
        *(
            Metric(
                f"load_latency_p{q}_ms",
                f"p{q} of the time from when a query was due",
                f"load p{q} ms",
                needs="load",
                is_latency=True,
            )
            for q in PERCENTILES
        ),
        Metric(
            "load_completed_per_s",
            "queries completed per second under load",
            "queries/s",
            unit="queries/s",
            higher_is_better=True,
            needs="load",
            text=_rate,
        ),
    )
}
"""Every metric but the quality, by name, in the order of tables."""

GOALS = tuple(metric.name for metric in METRICS.values() if metric.is_goal)
"""The metrics that a study may seek or limit, without the quality."""


@cache
def metric_of(name: str) -> Metric:
    """Return a metric of the table, or that of a part; any other name is a workload's quality.

    A quality is better when higher, is compared by differences, and belongs to the file.
    """
    known = METRICS.get(name)
    if known is not None:
        return known
    if (part := _PART.fullmatch(name)) is not None:
        return Metric(
            name,
            f"p{part['percentile']} of the time of a request's part {part['part']} for a batch",
            f"{part['part']} p{part['percentile']} ms",
            needs="pipeline",
            is_latency=True,
        )
    return Metric(
        name,
        "the workload's quality",
        name,
        unit="",
        higher_is_better=True,
        interval="samples",
        is_ratio_scale=False,
        is_of_file=True,
        text=_decimals,
    )


def percentile_of(name: str) -> int:
    """Return which percentile a metric is; 0 if it is none."""
    found = re.fullmatch(r".*latency_p(\d+)_ms", name)
    return int(found[1]) if found and not is_quality(name) else 0


def part_latency(part: str, percentile: str) -> str:
    """Return the metric of a percentile of the time of a request's part, such as ``decode``."""
    return f"part_{part}_{latency(percentile)}"


def part_of(name: str) -> str:
    """Return which part of a request a metric is of; empty if it is of none."""
    found = _PART.fullmatch(name)
    return found["part"] if found else ""


def without_end(name: str) -> str:
    """Return the name of a metric, also from the name of an end of its interval."""
    return name.removesuffix("_low").removesuffix("_high")


def is_quality(name: str) -> bool:
    """Tell whether a metric is a workload's quality."""
    return name not in METRICS and not part_of(name)
