"""What came of loads that a process served: the latency of each request, and of each call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.runtimes.launch import percentile
from paretune.runners.runtimes.launched.backend import ServeJob
from paretune.runners.runtimes.proof import LaunchProof

_MOST_WAITING = 0.1
"""Share of an instance's busy time for which it had no core, above which something else took it: as
for launches on a card, where it is measured, too.
"""


@dataclass(frozen=True)
class ServeSettings:
    """How loads are served.

    Attributes:
        max_batch: Most requests in one call.
        queue_delay_ms: Longest time for which a call waits for more requests.
        give_up_s: Seconds of waiting of one request after which a load ends: it is far too high.
        warmup_seconds: Longest warm-up.
        timeout_s: Deadline of a step: to load the model, or one call.
        memory_limit_bytes: Memory limit, for data; nine tenths of the machine's memory if ``None``.
    """

    max_batch: int = 1
    queue_delay_ms: float = 0.0
    give_up_s: float = 5.0
    warmup_seconds: float = 1.0
    timeout_s: float = 60.0
    memory_limit_bytes: int | None = None

    def job(self, loads: Sequence[NDArray[np.float64]], folder: Path) -> ServeJob:
        """Return what a process is asked that is started now, and write its loads."""
        files = [folder / f"load_{place}.npy" for place in range(len(loads))]
        for file, times_s in zip(files, loads, strict=True):
            np.save(file, times_s)
        return {
            "loads": [str(file) for file in files],
            "max_batch": self.max_batch,
            "queue_delay_ms": self.queue_delay_ms,
            "give_up_s": self.give_up_s,
            "began": time.monotonic(),
        }


@dataclass(frozen=True)
class Served:
    """One load that was served.

    Attributes:
        latency_ms: From when each request was due to its answer, in the order of the requests.
        waiting_ms: The part of it before its call began.
        call_sizes: Requests in each call, in the order in which they began.
        call_ms: Milliseconds of each call.
        late_ms: How late each call began because the instance that slept until then woke late.
        unanswered: Requests without an answer, because the queue had become too long.
        waited_share: Time for which the instances' threads were ready to run but had no core ÷ the
            time of all calls; ``None`` where the system does not count it.
    """

    latency_ms: NDArray[np.float64]
    waiting_ms: NDArray[np.float64]
    call_sizes: NDArray[np.int64]
    call_ms: NDArray[np.float64]
    late_ms: NDArray[np.float64]
    unanswered: int
    waited_share: float | None

    @classmethod
    def from_result(cls, values: Mapping[str, Any]) -> Served:
        """Return it from a child process's result."""
        arrays = {name: np.asarray(each) for name, each in values.items() if isinstance(each, list)}
        return cls(**{**values, **arrays})

    def percentile_ms(self, q: float) -> float | None:
        """Return a percentile of the latency; ``None`` if that many requests had no answer."""
        count = len(self.latency_ms) + self.unanswered
        if not len(self.latency_ms) or self.unanswered > (1 - q / 100) * count:
            return None
        q_of_answered = min(100.0, q * count / len(self.latency_ms))
        return percentile(self.latency_ms, q_of_answered)  # type: ignore[arg-type]

    @property
    def is_disturbed(self) -> bool:
        """Whether something else took the instances' cores for a tenth of the time."""
        return (self.waited_share or 0.0) > _MOST_WAITING


@dataclass(frozen=True)
class ServingLaunch:
    """One fresh process that served loads, one after the other.

    Attributes:
        start_ms: From the start of the process to its first answer, with all instances loaded:
            Python, the runtime, the model, one call.
        peak_memory_bytes: Peak resident memory.
        has_fixed_batch: Whether every call has as many samples as the largest, filled up.
        proof: What it ran on, by the runtime's own account.
        loads: What came of each load.
    """

    start_ms: float
    peak_memory_bytes: int
    has_fixed_batch: bool
    proof: LaunchProof | None
    loads: tuple[Served, ...]

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> ServingLaunch:
        """Return it from a child process's result."""
        proof = result["proof"]
        restored = {
            "proof": proof and LaunchProof.from_dict(proof),
            "loads": tuple(map(Served.from_result, result["loads"])),
        }
        return cls(**{**result, **restored})
