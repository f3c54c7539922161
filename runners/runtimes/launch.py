"""A launch: one fresh process that loaded the artifact and timed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_LEAST_CPU_SHARE = 0.9
"""CPU time ÷ wall time below which a launch was kept waiting."""

_MOST_SWITCHES = 0.1
"""Involuntary context switches per call above which a launch was pushed off its core. Evidence for
both: together they caught 24 of 25 launches with a noisy neighbour, without a false alarm.
"""

_MOST_DRIFT = 1.1
"""Times the undisturbed canary above which the core itself was slower. Chosen by judgement."""


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Times of whole requests; one entry per served batch, in order.

    Attributes:
        preprocess_ms: From requests to the model's input.
        postprocess_ms: From the model's output to answers.
        end_to_end_ms: Both, with inference in between.
    """

    preprocess_ms: tuple[float, ...]
    postprocess_ms: tuple[float, ...]
    end_to_end_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Launch:
    """One fresh process that loaded the artifact and timed it.

    Attributes:
        session_creation_ms: Time to load the model.
        first_inference_ms: Time of the first call.
        warmup_iterations: Calls until timing was steady.
        warmup_steady: Whether it became steady in time.
        latency_ms: Time of each timed call, in order.
        cpu_share: CPU time ÷ wall time while timing, per thread.
        cpu_time_ms: CPU time per call, summed over threads.
        involuntary_switches_per_iteration: How often it was pushed off its core, per call.
        peak_memory_bytes: Peak resident memory.
        canary_ms: Time of a fixed piece of arithmetic on the same core, right after.
        energy_mj: Energy per call, if the device has a counter.
        end_to_end: Times of whole requests, if the workload has a pipeline.
        load: LoadGen's results (``p50_ms`` ... ``completed_per_s``), if load was offered.
        timed_s: Wall-clock seconds of warm-up and timed work.
    """

    session_creation_ms: float
    first_inference_ms: float
    warmup_iterations: int
    warmup_steady: bool
    latency_ms: tuple[float, ...]
    cpu_share: float
    cpu_time_ms: float
    involuntary_switches_per_iteration: float
    peak_memory_bytes: int
    canary_ms: float
    energy_mj: float | None = None
    end_to_end: EndToEnd | None = None
    load: Mapping[str, float] | None = None
    timed_s: float = 0.0

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Launch:
        """Return the launch from a child process's result."""
        parts = result["end_to_end"]
        whole = parts and EndToEnd(**{name: tuple(times) for name, times in parts.items()})
        latency_ms = tuple(result["latency_ms"])
        return cls(**{**result, "latency_ms": latency_ms, "end_to_end": whole})

    def is_contaminated(
        self, undisturbed_share: float = 1.0, undisturbed_canary_ms: float | None = None
    ) -> bool:
        """Tell whether something else took or slowed the core during timing.

        Args:
            undisturbed_share: The CPU share of an undisturbed launch: 1 with one thread; with more
                it depends on whether the runtime's idle threads spin.
            undisturbed_canary_ms: The canary's time on the quiet machine, if known.
        """
        kept_waiting = self.cpu_share < _LEAST_CPU_SHARE * undisturbed_share
        pushed_off = self.involuntary_switches_per_iteration > _MOST_SWITCHES
        drifted = (
            undisturbed_canary_ms is not None
            and self.canary_ms > _MOST_DRIFT * undisturbed_canary_ms
        )
        return kept_waiting or pushed_off or drifted

    def percentile(self, q: float) -> float:
        """Return the q-th percentile of the timed calls, in milliseconds."""
        return float(np.percentile(self.latency_ms, q))
