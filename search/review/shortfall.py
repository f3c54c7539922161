"""Shortfalls: compressions that made a model neither smaller nor faster where they should."""

from __future__ import annotations

from dataclasses import replace

from paretune.runners.measure.measurement import Measurement
from paretune.runners.metric import MEDIAN_LATENCY, SIZE, metric_of
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric, interval_text
from paretune.spaces import REFERENCE, BuildSpec, Candidate, Quantization


def shortfalls(record: TrialRecord, history: History) -> list[str]:
    """Describe where a compressed model is not smaller or not faster than the one it came from.

    It came from the measured candidates with the same run settings that differ in one thing: not
    distilled, not pruned, or not quantized. Sizes are compared exactly and p50 latencies by their
    intervals: with the confirmation's values if both were measured again, else with the search's.

    Args:
        record: A trial.
        history: The study.

    Returns:
        One sentence per parent that it does not improve on; none without a measurement.
    """
    own = history.measured_as(record.candidate)
    if own is None:
        return []
    found, fresh = [], {each.number: each.measurement for each in history.confirmed}
    for what, build in _parents(record.candidate.build).items():
        parent = history.measured_as(Candidate(build, record.candidate.run))
        if parent is None or own.measurement is None or parent.measurement is None:
            continue
        where, one, other = "in the search", own.measurement, parent.measurement
        if own.number in fresh and parent.number in fresh:
            where, one, other = "measured again", fresh[own.number], fresh[parent.number]
        is_smaller = one.metrics[SIZE] < other.metrics[SIZE]
        faults = ["no smaller"] * (not is_smaller) + _slowness(one, other)
        if faults:
            values = ", ".join(
                f"{what_of}{_text(name, one)} against {_text(name, other)} {metric_of(name).unit}"
                for what_of, name in (("", SIZE), ("p50 ", MEDIAN_LATENCY))
            )
            found.append(
                f"{what}, but {' and '.join(faults)} than trial {parent.number} {where} ({values})"
            )
    return found


def is_parent(one: Candidate, other: Candidate) -> bool:
    """Tell whether a candidate is what another, with the same run settings, came from."""
    return one.run == other.run and one.build in _parents(other.build).values()


def _parents(build: BuildSpec) -> dict[str, BuildSpec]:
    """Return the parents of a build, by the step that changed them."""
    found = {}
    if build.student != REFERENCE:
        found["distilled"] = replace(build, student=REFERENCE)
    if build.pruning_ratio:
        found["pruned"] = replace(build, pruning_ratio=0.0)
    if build.quantization != Quantization.FP32:
        found["quantized"] = replace(build, quantization=Quantization.FP32, fp32_layer_share=0.0)
    return found


def _text(name: str, measurement: Measurement) -> str:
    """Return a metric's value with its interval."""
    statistic = measurement.statistics[name]
    ends = interval_text(name, statistic)
    return format_metric(name, statistic.value) + (f" ({ends})" if ends else "")


def _slowness(measurement: Measurement, parent: Measurement) -> list[str]:
    own, other = (each.statistics[MEDIAN_LATENCY] for each in (measurement, parent))
    (low, high), (other_low, other_high) = own.ends, other.ends
    if high < other_low:
        return []
    return ["slower" if low > other_high else "not clearly faster"]
