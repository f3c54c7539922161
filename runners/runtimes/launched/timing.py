"""Timing: warm up until steady, then time calls, and count disturbances meanwhile."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[[int], float]
"""Runs one of the batches, chosen by the turn, and returns the time in milliseconds."""

_WINDOW_SECONDS = 0.02
"""Seconds of one window of the warm-up; it has at least one call. Chosen by judgement."""

_WINDOWS = 3
"""Windows that must agree, and so the fewest."""

_ALIVE_SECONDS = 1.0
"""Seconds between two signs of life: a file's time, written between two calls."""

_STEADY_TOLERANCE = 0.03
"""Relative difference within which the medians of three windows agree. Chosen by judgement."""

_CANARY_CALLS = 51
"""Calls of the canary, of which the median counts. Chosen by judgement."""


class _Signs:
    """Where the next sign of life is written, and from when on."""

    file: Path | None = None
    due: float = 0.0


def alive(folder: Path | None = None) -> None:
    """Show the parent that a step has ended: its deadline counts from here.

    Args:
        folder: The job's folder, once, at the start.
    """
    if folder is not None:
        _Signs.file = folder / "alive"
    now = time.monotonic()
    if _Signs.file is not None and now >= _Signs.due:
        _Signs.file.touch()
        _Signs.due = now + _ALIVE_SECONDS


def timed(function: Callable[[Any], Any], feeds: list[Any]) -> Call:
    """Return a function that times a call on one of the feeds."""

    def once(turn: int) -> float:
        feed = feeds[turn % len(feeds)]
        begin = time.perf_counter_ns()
        function(feed)
        return (time.perf_counter_ns() - begin) / 1e6

    return once


def warm_up(once: Call, limit_seconds: float) -> dict[str, Any]:
    """Call until the medians of three windows in a row agree, or the time is up.

    Clocks, caches and allocators settle after 0 to several hundred calls; a fixed number is either
    too few or a waste. Slow models have three calls, however long these take.
    """
    started = time.perf_counter()
    medians: list[float] = []
    iterations = 0
    while len(medians) < _WINDOWS or time.perf_counter() - started < limit_seconds:
        window: list[float] = []
        window_started = time.perf_counter()
        while not window or time.perf_counter() - window_started < _WINDOW_SECONDS:
            window.append(once(iterations))
            iterations += 1
        alive()
        medians.append(sorted(window)[len(window) // 2])
        last = medians[-_WINDOWS:]
        if len(last) == _WINDOWS and max(last) <= min(last) * (1 + _STEADY_TOLERANCE):
            return {"iterations": iterations, "steady": True}
    return {"iterations": iterations, "steady": False}


def steady(once: Callable[[int], Any], job: dict[str, Any]) -> list[Any]:
    """Call for as long and as often as the job asks for; return the result of each call."""
    results: list[Any] = []
    started = time.perf_counter()
    while len(results) < job["max_iterations"]:
        elapsed = time.perf_counter() - started
        if len(results) >= job["min_iterations"] and elapsed >= job["min_seconds"]:
            break
        results.append(once(len(results)))
        alive()
    return results


def canary_ms() -> float:
    """Return the median time of a fixed piece of arithmetic on this core.

    It depends on the core's clock and on what shares its caches, never on the model: if it drifts,
    the machine has drifted, not the candidate.
    """
    import numpy as np

    values = np.linspace(0.0, 100.0, 1 << 14)
    result = np.empty_like(values)
    once = timed(lambda array: np.sin(array, out=result), [values])
    warm_up(once, 0.06)
    return sorted(once(turn) for turn in range(_CANARY_CALLS))[_CANARY_CALLS // 2]
