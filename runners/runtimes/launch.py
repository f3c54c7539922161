"""A launch: one fresh process that loaded the artifact and timed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paretune.runners.runtimes.proof import LaunchProof

WHOLE = ("preprocess", "postprocess", "end_to_end")
"""What is recorded of every request, whatever parts its pipeline names."""

_LEAST_CPU_SHARE = 0.9
"""CPU time ÷ wall time below which a launch was kept waiting."""

_MOST_SWITCHES = 0.1
"""Involuntary context switches per call above which a launch was pushed off its core. Evidence for
both: together they caught 24 of 25 launches with a noisy neighbour, without a false alarm.
"""

_MOST_SWITCHES_PER_S = 10.0
"""The same per second of processor time, which must be exceeded as well: the kernel's own threads
alone cause a few a second, so that every call of a slow model has some. Chosen by judgement.
"""

_MOST_STOPPED = 0.01
"""Share of the timed seconds for which a quota may have stopped the process: the resolution of
times.
"""

_MOST_DRIFT = 1.1
"""Times the undisturbed canary above which the core itself was slower. Chosen by judgement."""

_MOST_WAITING = 0.1
"""The same tenth as of :data:`_LEAST_CPU_SHARE`, where it is measured and not concluded."""


@dataclass(frozen=True, slots=True)
class CardState:
    """What a card said about a launch on it; ``None`` and empty where it said nothing.

    Attributes:
        uuid: The card, or the slice of it.
        memory_bytes: Memory of the card that the process held at most.
        sm_clock_mhz: Clock of its multiprocessors: the lower one of before and after the timed
            calls.
        temperature_c: Its temperature after the timed calls.
        throttled: Why it slowed itself down meanwhile, to protect itself.
        limited: What else limited its clocks; such a limit belongs to the machine as it is set up.
        other_processes: Number of other processes that computed there meanwhile.
    """

    uuid: str = ""
    memory_bytes: int | None = None
    sm_clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()
    other_processes: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CardState:
        """Return the state from plain values."""
        reasons = {name: tuple(values.get(name, ())) for name in ("throttled", "limited")}
        return cls(**{**values, **reasons})


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Times of whole requests; one entry per served batch, in order.

    Attributes:
        preprocess_ms: From requests to the model's input.
        postprocess_ms: From the model's output to answers.
        end_to_end_ms: Both, with inference in between.
        parts_ms: The same of the parts that the pipeline names, and of the ``model`` between them,
            by name; empty if an earlier version measured it.
    """

    preprocess_ms: tuple[float, ...]
    postprocess_ms: tuple[float, ...]
    end_to_end_ms: tuple[float, ...]
    parts_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EndToEnd:
        """Return the times from plain values."""
        parts = {name: tuple(each) for name, each in values.get("parts_ms", {}).items()}
        whole = {name: tuple(each) for name, each in values.items() if name != "parts_ms"}
        return cls(**whole, parts_ms=parts)

    @property
    def by_metric(self) -> dict[str, tuple[float, ...]]:
        """The times by what their metrics' names begin with: ``end_to_end``, ``part_NAME``."""
        whole = {name: getattr(self, f"{name}_ms") for name in WHOLE}
        return whole | {f"part_{name}": each for name, each in self.parts_ms.items()}


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
        waited_share: Time for which the calling thread was ready to run but had no core ÷ wall time
            while timing; ``None`` where the system does not count it.
        throttled_share: Time for which a quota of processor time stopped the process ÷ wall time
            while timing.
        instances: Sessions that were timed together, each called by a thread of its own.
            ``latency_ms`` has the calls of all of them, in the order in which they ended.
        has_fixed_batch: Whether every call must have the batch size that the model was loaded for.
        card: What the card said, if it ran on one.
        device_latency_ms: Median time of a call whose inputs and outputs stay on the card;
            ``latency_ms`` has the copies to it and from it as well. ``None`` without a card.
        proof: What it ran on, by the runtime's own account; ``None`` if the runtime does not tell.
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
    waited_share: float | None = None
    card: CardState | None = None
    device_latency_ms: float | None = None
    proof: LaunchProof | None = None
    throttled_share: float = 0.0
    instances: int = 1
    has_fixed_batch: bool = False

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Launch:
        """Return the launch from a child process's result."""
        parts = result["end_to_end"]
        whole = parts and EndToEnd.from_dict(parts)
        latency_ms = tuple(result["latency_ms"])
        said, proof = result.get("card"), result.get("proof")
        restored = {
            "latency_ms": latency_ms,
            "end_to_end": whole,
            "card": said and CardState.from_dict(said),
            "proof": proof and LaunchProof.from_dict(proof),
        }
        return cls(**{**result, **restored})

    def is_contaminated(
        self,
        undisturbed_share: float | None = 1.0,
        undisturbed_canary_ms: float | None = None,
        undisturbed_clock_mhz: float | None = None,
    ) -> bool:
        """Tell whether something else took or slowed the core, or the card, during timing.

        Args:
            undisturbed_share: The CPU share of an undisturbed launch: 1 with one thread; with more
                it depends on whether the runtime's idle threads spin. ``None`` for a launch on
                another device than the processor (see ``measure/protocol.py``).
            undisturbed_canary_ms: The canary's time on the quiet machine, if known.
            undisturbed_clock_mhz: The card's clock in an undisturbed launch, if known.
        """
        if undisturbed_share is None:
            disturbed = (self.waited_share or 0.0) > _MOST_WAITING
        else:
            kept_waiting = self.cpu_share < _LEAST_CPU_SHARE * undisturbed_share
            disturbed = kept_waiting or self._was_pushed_off
        drifted = (
            undisturbed_canary_ms is not None
            and self.canary_ms > _MOST_DRIFT * undisturbed_canary_ms
        )
        stopped = self.throttled_share > _MOST_STOPPED
        return disturbed or stopped or drifted or self._card_was_disturbed(undisturbed_clock_mhz)

    @property
    def _was_pushed_off(self) -> bool:
        per_call = self.involuntary_switches_per_iteration
        return (
            per_call > _MOST_SWITCHES and per_call > _MOST_SWITCHES_PER_S * self.cpu_time_ms / 1e3
        )

    def _card_was_disturbed(self, undisturbed_clock_mhz: float | None) -> bool:
        if self.card is None:
            return False
        clock = self.card.sm_clock_mhz
        fell = (
            undisturbed_clock_mhz is not None
            and clock is not None
            and clock * _MOST_DRIFT < undisturbed_clock_mhz
        )
        return bool(self.card.throttled) or self.card.other_processes > 0 or fell

    def percentile(self, q: float) -> float:
        """Return the q-th percentile of the calls, in milliseconds (see :func:`percentile`)."""
        return percentile(self.latency_ms, q)


def percentile(times: Sequence[float], q: float) -> float:
    """Return the q-th percentile of the distribution that times are drawn from.

    The k-th smallest of n is on average the k/(n + 1) quantile (Weibull's plotting position;
    Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 6). The usual
    definition would return the p92 of the distribution for the p95 of 30 calls.
    """
    return float(np.percentile(times, q, method="weibull"))
