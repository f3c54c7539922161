"""A report on one model file: timing, operators, bottleneck."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure
from paretune.runners.formats import FORMATS
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import Timing, time_model
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.runtimes.runner import Runner, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

_PROFILED_CALLS = 30
"""Calls with ONNX Runtime's profiler on. Chosen by judgement."""


@dataclass(frozen=True)
class OperatorTime:
    """The share of one operator type in the time of a call.

    Attributes:
        operator: Its type, such as ``Conv``.
        provider: The execution provider that ran it.
        nodes: Number of nodes of that type.
        ms_per_call: Their time in one call.
        share: Their share of the time of all nodes, in [0, 1].
    """

    operator: str
    provider: str
    nodes: int
    ms_per_call: float
    share: float


@dataclass(frozen=True)
class ModelReport:
    """One model file, measured in one way.

    Attributes:
        model: The file.
        run: How it was run.
        timing: The launches.
        statistics: Their statistics, by metric.
        providers: Each execution provider's share.
        operators: Time by operator type, the slowest first.
        environment: The machine and versions.
        total_s: Total seconds.
    """

    model: Path
    run: RunSpec
    timing: Timing
    statistics: Mapping[str, Statistic]
    providers: Mapping[str, ProviderShare]
    operators: Sequence[OperatorTime]
    environment: Mapping[str, str]
    total_s: float

    def text_of(self, metric: str) -> str:
        """Return a metric's value, with the half-width of its interval if it has one."""
        shown, statistic = METRICS[metric], self.statistics[metric]
        text = shown.text(statistic.value)
        if statistic.high is None or not statistic.value:
            return text
        return f"{text} {shown.half_width(statistic.value, *statistic.ends)}"

    def __repr__(self) -> str:
        """Return how it was run, the metrics and the bottleneck, a line each."""
        run = self.run
        lines = [
            f"{self.model} on {run.runner}, {run.execution_provider}, {run.intra_op_threads} "
            f"threads, batch {run.batch_size}"
        ]
        lines += [
            f"  {name:<26} {self.text_of(name)}" for name in METRICS if name in self.statistics
        ]
        return "\n".join([*lines, f"bottleneck: {self.bottleneck}"])

    @property
    def bottleneck(self) -> str:
        """Where the time of a call goes, in words."""
        call_ms = self.statistics["latency_p50_ms"].value
        inside_ms = sum(each.ms_per_call for each in self.operators)
        top = self.operators[0]
        overhead = 1 - inside_ms / call_ms
        words = (
            f"{top.share:.0%} of the operators' time is in {top.nodes} × {top.operator} "
            f"({top.ms_per_call:.3g} ms per call)"
        )
        if overhead > 0.5:
            return (
                f"the call itself: operators take {inside_ms:.3g} ms of {call_ms:.3g} ms, the rest "
                f"is the runtime's overhead per call and per node; a larger batch spreads it. "
                f"Inside, {words}"
            )
        if self.run.intra_op_threads == 1 and top.operator in ("Conv", "MatMul", "Gemm"):
            words += "; more threads, int8 or fewer channels reduce it directly"
        return words


def report(
    runner: Runner,
    model: Path,
    run: RunSpec,
    samples: Samples,
    settings: MeasurementSettings,
) -> ModelReport | Failure:
    """Measure a model by the protocol, check its provider, and profile its operators."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        description = runner.describe(folder)
        if isinstance(description, Failure):
            return description
        proof = runner.predict(model, run, samples, folder, settings)
        if isinstance(proof, Failure):
            return proof
        timing = time_model(runner, model, run, samples, folder, settings)
        if isinstance(timing, Failure):
            return timing
        with lease(runner.device(run)) as held:
            nodes = runner.profile(model, run, samples, folder, calls=_PROFILED_CALLS, lease=held)
        if isinstance(nodes, Failure):
            return nodes
    statistics = summarize(timing.launches, run.batch_size, timing.first)
    statistics["size_bytes"] = Statistic(float(FORMATS.get(runner.model_format).bytes_of(model)))
    environment = {**fingerprint(), **description.versions}
    return ModelReport(
        model=model,
        run=run,
        timing=timing,
        statistics=statistics,
        providers=proof.providers,
        operators=_by_operator(nodes),
        environment=environment,
        total_s=time.monotonic() - started,
    )


def _by_operator(nodes: Sequence[Mapping[str, Any]]) -> list[OperatorTime]:
    total = sum(float(node["ms_per_call"]) for node in nodes) or 1.0
    groups: dict[tuple[str, str], list[float]] = {}
    for node in nodes:
        key = str(node["operator"]), str(node["provider"])
        groups.setdefault(key, []).append(float(node["ms_per_call"]))
    found = [
        OperatorTime(operator, provider, len(times), sum(times), sum(times) / total)
        for (operator, provider), times in groups.items()
    ]
    return sorted(found, key=lambda each: -each.ms_per_call)
