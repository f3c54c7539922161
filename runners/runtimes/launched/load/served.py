"""A served load: requests at their own pace, answered by instances with dynamic batching.

Nothing generates the load. When each request is due is known beforehand, so an instance without
work sleeps until the next one is due, and takes it: no thread takes a core from the instances, and
no request is sent late because the sender was busy. A latency counts from when the request was due,
whatever happened since (G. Tene calls its opposite coordinated omission).

One idle instance at a time is next in turn. It takes a batch once that is full, or once its oldest
request has waited for the queue delay; if that was so before it became idle, at once. This is the
rule of Triton's dynamic batcher (``max_queue_delay_microseconds``).
"""

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import counters
from ..backend import Job, Model, ServeJob, prepare
from ..refusal import RefusedError, refuse
from ..timing import alive, timed, warm_up
from .request_feeds import RequestFeeds
from .side_by_side import SideBySide, load_all, proof_of, together

_LEAD_S = 0.02
"""Seconds from the start of the threads to the origin of the load. Chosen by judgement."""

_LONGEST_SLEEP_S = 1.0
"""Seconds after which a sleeping instance shows that it is alive. Chosen by judgement."""


def serve(job: Job) -> dict[str, Any]:
    """Serve each load of a job in turn; the queue is empty at the start of each.

    Returns:
        ``start_ms``: from the start of the process to the first answer; ``peak_memory_bytes``;
        ``has_fixed_batch``; ``proof``; and ``loads``, each with the fields of ``Served``.

    Raises:
        RefusedError: If the model cannot be run.
    """
    prepare(job)
    asked = job["serve"]
    models = load_all(job)
    alive()
    feeds = RequestFeeds(job, models[0], asked["max_batch"])
    try:
        models[0](feeds.feed(1, 0))
        start_ms = (time.monotonic() - asked["began"]) * 1e3
        alive()
        _warm_up(models, feeds, job["warmup_seconds"])
        counters.sleep_precisely()
        loads = [_Service(models, feeds, asked, file).run() for file in asked["loads"]]
    except (MemoryError, RefusedError):
        raise
    except Exception as error:
        raise refuse("the runtime cannot serve the model", error) from error
    return {
        "start_ms": start_ms,
        "peak_memory_bytes": counters.peak_memory_bytes(),
        "has_fixed_batch": models[0].has_fixed_batch,
        "proof": proof_of(models),
        "loads": loads,
    }


def _warm_up(models: Sequence[Model], feeds: RequestFeeds, limit_seconds: float) -> None:
    """Warm up on full batches, then show each instance every number of requests twice.

    The runtimes plan memory for a shape when they see it for the first time.
    """
    whole = [feeds.feed(feeds.most, turn) for turn in range(2)]
    calls = [timed(model, whole) for model in models]
    if len(calls) == 1:
        warm_up(calls[0], limit_seconds)
    else:
        SideBySide(calls).warm_up(limit_seconds)
    for model in models:
        for count in range(1, feeds.most + 1):
            for turn in range(2):
                model(feeds.feed(count, turn))
            alive()


class _Service:
    """One load, served.

    Args:
        models: The instances.
        feeds: Their requests.
        asked: How to serve.
        file: When each request is due: sorted seconds from the start, as ``.npy``.
    """

    def __init__(
        self, models: Sequence[Model], feeds: RequestFeeds, asked: ServeJob, file: str
    ) -> None:
        import numpy as np

        self._models, self._feeds = models, feeds
        self._most = asked["max_batch"]
        self._delay_s = asked["queue_delay_ms"] / 1e3
        self._give_up_s = asked["give_up_s"]
        self._due: list[float] = np.load(Path(file)).tolist()
        self._turn = threading.Lock()
        self._head = 0
        self._beat_s = 0.0  # when somebody was last seen at work, or asleep without any
        self._calls: list[tuple[int, int, float, float, float]] = []
        self._waited_s = self._busy_s = 0.0
        self._knows_waiting = True

    def run(self) -> dict[str, Any]:
        """Serve until every request was answered, or one has waited for too long."""
        origin = time.perf_counter() + _LEAD_S
        self._due = [origin + each for each in self._due]
        together(self._work, len(self._models), lambda: self._beat_s)
        self._calls.sort()
        latency, waiting = [], []
        for first, count, _, taken, ended in self._calls:
            due = self._due[first : first + count]
            latency += [(ended - each) * 1e3 for each in due]
            waiting += [(taken - each) * 1e3 for each in due]
        return {
            "latency_ms": latency,
            "waiting_ms": waiting,
            "call_sizes": [count for _, count, *_ in self._calls],
            "call_ms": [(ended - taken) * 1e3 for *_, taken, ended in self._calls],
            "late_ms": [late * 1e3 for _, _, late, *_ in self._calls],
            "unanswered": len(self._due) - len(latency),
            "waited_share": self._waited_s / self._busy_s
            if self._knows_waiting and self._busy_s
            else None,
        }

    def _work(self, place: int, stop: threading.Event) -> None:
        """Answer requests with one instance, until none is left."""
        model, feeds, turn = self._models[place], self._feeds, place
        waited, busy_s = counters.waited_s(), 0.0
        while True:
            with self._turn:
                batch = self._next(stop)
            if batch is None:
                break
            first, count, late, taken = batch
            model(feeds.feed(count, turn))
            ended = time.perf_counter()
            self._calls.append((first, count, late, taken, ended))
            turn += 1
            busy_s += ended - taken
        after = counters.waited_s()
        with self._turn:
            self._busy_s += busy_s
            if waited is None or after is None:
                self._knows_waiting = False
            else:
                self._waited_s += after - waited

    def _next(self, stop: threading.Event) -> tuple[int, int, float, float] | None:
        """Return the next batch once it is due: its first request, how many, how late, and when."""
        due, head = self._due, self._head
        if head >= len(due) or stop.is_set():
            return None
        last = head + self._most - 1
        ready = due[head] + self._delay_s
        if last < len(due):
            ready = min(ready, due[last])
        began = now = time.perf_counter()
        while now < ready:
            time.sleep(min(ready - now, _LONGEST_SLEEP_S))
            self._beat_s = now = time.perf_counter()
        self._beat_s = now
        if now - due[head] > self._give_up_s:
            stop.set()
            return None
        count = bisect_right(due, now, head, min(last + 1, len(due))) - head
        self._head = head + count
        return head, count, max(0.0, now - max(ready, began)), now
