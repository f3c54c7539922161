"""Does `paretune watch` find a slow-down of 20 %, soon, and nothing else?

    python experiments/benchmarks/watch.py [--runs 200] [--real 5] [--record 8000]
        [--learn 1000] [--series FILE]

1. A real service (a process that runs a model in ONNX Runtime behind HTTP) is probed as `paretune
   watch --url` does, but every 0.2 s: 15 timed requests a second, for nine minutes. Of these, every
   fifth group of three is what the probe sees with its usual pause of a second; so a neighbour's
   second is a second, and the tails and the dependence are the machine's own.
2. Simulated runs are resampled from that series in pieces of half a minute (the moving block
   bootstrap, H. Kuensch, 1989). In each, the first requests (`--learn`) are the reference. Then
   nothing happens, or all latencies are 1.2 times as long, or 60 requests are 3 times as long (a
   spike), or the service is away for 5 s and its first 15 answers are cold (a restart).
3. The same runs with the usual method, Page's CUSUM of the blocks' log medians, whose threshold is
   calibrated by a bootstrap of the reference for the same rate of false alarms.
4. Real runs: a fresh process each; in each, the service does 20 % more work from a request on, is
   killed and started again, and is slow for 5 s.

Prints one table. False alarms are also counted at a rate of one in 20,000 requests, because nobody
can check one in a million by so few requests.
"""

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.observation import Failed, Request
from paretune.search.deliver.watch.settings import LEARN_REQUESTS, WatchSettings
from paretune.search.deliver.watch.sources.probe import Probe, Reply
from paretune.search.deliver.watch.watcher import Watcher

PAUSE_S = 0.2
"""Seconds from one group of requests to the next when they are recorded, and in the real runs."""

GROUP = 3
"""Timed requests in a group."""

EVERY = 5
"""Of so many groups, one is kept in the simulated runs: then they have the probe's usual pause."""

CALM = 2_000
"""Requests before something happens, and requests within which it must be found."""

PIECE = 100
"""Consecutive requests that are resampled together."""

PACE_S = EVERY * PAUSE_S / GROUP
"""Seconds from one timed request to the next in the simulated runs."""

TIMED = 3 / 5
"""Share of the requests that are timed."""

SLOWER = 1.2
"""The slow-down."""

Series = NDArray[np.float64]


# The service


def serve(port: int) -> None:
    """Serve a small model; ``POST /work`` says how often a request runs it."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32) / 16
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Tanh", ["m"], ["y"])],
        "service",
        [value("x", TensorProto.FLOAT, ["n", 256])],
        [value("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(weight, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    work = {"runs": 100, "until": 0.0}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else it waits 40 ms for an acknowledgement

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/work":
                told = json.loads(body)
                work["runs"] = told.get("runs", work["runs"])
                work["until"] = time.time() + told.get("slow_s", 0.0)
                answer = b"{}"
            else:
                x = np.frombuffer(body, np.float32).reshape(-1, 256)
                runs = work["runs"] * (3 if time.time() < work["until"] else 1)
                for _ in range(int(runs)):
                    y = session.run(None, {"x": x})[0]
                answer = y.tobytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


class Service:
    """The service in a process of its own, and a client of it."""

    count = 1

    def __init__(self, port: int) -> None:
        self.port = port
        self._body = np.ones((8, 256), np.float32).tobytes()
        self._connection: http.client.HTTPConnection | None = None
        self.start()

    def start(self) -> None:
        """Start the process and wait for its first answer."""
        self._process = subprocess.Popen([sys.executable, __file__, "--serve", str(self.port)])
        deadline = time.monotonic() + 60
        while self.ask(0).failed is not None:
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise TimeoutError("the service does not start")
            time.sleep(0.1)

    def begin(self) -> None:
        """Start the process; the first requests are refused."""
        self._process = subprocess.Popen([sys.executable, __file__, "--serve", str(self.port)])

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def ask(self, sample: int) -> Reply:
        """Time a request."""
        try:
            begin = time.perf_counter_ns()
            self._post("/", self._body)
            return Reply((time.perf_counter_ns() - begin) / 1e6)
        except (OSError, http.client.HTTPException):
            self._connection = None
            return Reply(None, Failed.UNREACHABLE)

    def work(self, **told: float) -> None:
        """Say how much a request does."""
        self._post("/work", json.dumps(told).encode())

    def _post(self, path: str, body: bytes) -> None:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self._connection.request("POST", path, body)
        self._connection.getresponse().read()

    def median_ms(self, requests: int = 300) -> float:
        """Return the median of some requests."""
        return float(np.median([self.ask(0).latency_ms or np.nan for _ in range(requests)]))


@contextmanager
def service(port: int) -> Iterator[Service]:
    """Yield a running service."""
    found = Service(port)
    try:
        yield found
    finally:
        found.kill()


# Simulated runs


def resampled(series: Series, count: int, rng: np.random.Generator) -> Series:
    """Return so many latencies, in pieces of those that the usual probe sees one after another."""
    whole = len(series) // (GROUP * EVERY) * GROUP * EVERY
    ways = series[:whole].reshape(-1, EVERY, GROUP).swapaxes(0, 1).reshape(EVERY, -1)
    pieces = -(-count // PIECE)
    starts = rng.integers(0, ways.shape[1] - PIECE, pieces)
    found = [ways[rng.integers(EVERY), start : start + PIECE] for start in starts]
    return np.concatenate(found)[:count]


@dataclass
class Run:
    """A run of a detector.

    Attributes:
        alarm: Requests until the first alarm; ``None`` without one.
        kinds: The kinds of events after the reference.
    """

    alarm: int | None
    kinds: list[Kind]


def watched(
    settings: WatchSettings, reference: Series, rest: Series, away: tuple[int, int] | None = None
) -> Run:
    """Run the watch; ``away`` is a request and for how many it is unanswered from then on."""
    watcher, run = Watcher(settings, learn=len(reference)), Run(None, [])
    warm = np.concatenate([reference[: settings.warm_up], reference])
    for place, latency in enumerate(warm):
        watcher.see(Request(place * PACE_S, float(latency)))
    start = len(warm)
    for place, latency in enumerate(rest):
        now = (start + place) * PACE_S
        is_away = away is not None and away[0] <= place < sum(away)
        request = Request(now, None, Failed.UNREACHABLE) if is_away else Request(now, latency)
        for event in watcher.see(request):
            run.kinds.append(event.kind)
            if event.kind.is_alarm and run.alarm is None:
                run.alarm = place
        if run.alarm is not None:
            break
    return run


def cusum(every: float, size: int, reference: Series, rest: Series) -> Run:
    """Run Page's CUSUM of blocks' log medians, calibrated by a bootstrap of the reference."""
    logs = np.log(np.median(reference.reshape(-1, size), axis=1))
    mean, deviation = float(logs.mean()), float(logs.std(ddof=1)) or 1e-9
    rng = np.random.default_rng(0)
    blocks = 8 * round(every / size)
    draws = (rng.choice(logs, min(blocks, 400_000)) - mean) / deviation
    sums = np.cumsum(draws - 0.5)
    lowest = np.minimum.accumulate(np.concatenate([[0.0], sums]))[1:]
    excursions = np.maximum.reduceat(sums - lowest, np.unique(lowest, return_index=True)[1][::-1])
    allowed = max(1, round(len(draws) * size / every))
    limit = float(np.sort(excursions)[-allowed])
    total = 0.0
    for place in range(0, len(rest) - size + 1, size):
        log = float(np.log(np.median(rest[place : place + size])))
        total = max(0.0, total + (log - mean) / deviation - 0.5)
        if total > limit:
            return Run(place + size, [])
    return Run(None, [])


def spread(found: list[int]) -> str:
    """Return median, 95th percentile and maximum."""
    if not found:
        return "–"
    return f"{np.median(found):.0f}, {np.quantile(found, 0.95):.0f}, {max(found)}"


def simulated(series: Series, runs: int, learn: int) -> list[tuple[str, ...]]:
    """Run everything on resampled series; return rows of the table."""
    usual = WatchSettings()
    strict = replace(usual, false_alarm_every=20_000)
    detectors: dict[str, Callable[[Series, Series], Run]] = {
        "e-detector, 1 in 1,000,000": lambda a, b: watched(usual, a, b),
        "e-detector, 1 in 20,000": lambda a, b: watched(strict, a, b),
        "CUSUM, 1 in 1,000,000": lambda a, b: cusum(1e6, 20, a, b),
        "CUSUM, 1 in 20,000": lambda a, b: cusum(2e4, 20, a, b),
    }
    rows = []
    for name, detector in detectors.items():
        every = 20_000 if name.endswith("20,000") else 1_000_000
        false, seen, found, missed = 0, 0, [], 0
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            reference, calm = resampled(series, learn, rng), resampled(series, 2 * CALM, rng)
            run = detector(reference, calm)
            false += run.alarm is not None
            seen += len(calm) if run.alarm is None else run.alarm + 1
            run = detector(reference, SLOWER * resampled(series, CALM, rng))
            if run.alarm is None:
                missed += 1
            else:
                found.append(run.alarm + 1)
        allowed = f"{false} in {seen:,} (≤ {seen / every:.1f})"
        rows.append((name, f"{len(found)} of {runs}", spread(found), allowed))
    return rows


def told_apart(series: Series, runs: int, learn: int) -> list[tuple[str, ...]]:
    """Return how often spikes and restarts were told as such, and how often as alarms."""
    settings, rows = WatchSettings(), []
    for what in (Kind.SPIKE, Kind.RESTART):
        right = alarms = 0
        for seed in range(runs):
            rng = np.random.default_rng(1000 + seed)
            reference, rest = resampled(series, learn, rng), resampled(series, CALM, rng)
            away = None
            if what is Kind.SPIKE:
                rest[500:560] *= 3
            else:
                away = (500, round(5 / PACE_S))
                rest[sum(away) : sum(away) + 15] *= 8
            run = watched(settings, reference, rest, away)
            right += what in run.kinds
            alarms += run.alarm is not None
        rows.append((f"a {what}", f"{right} of {runs} told as one", f"{alarms} as an alarm", ""))
    return rows


# Real runs


@dataclass
class Real:
    """What happened in a real run.

    Attributes:
        slower: The slow-down that was made, as a multiple of the median before.
        found: Requests until it was found; ``None`` if it was not.
        false: Alarms before it, and during spike and restart.
        events: The kinds of events before it.
        requests: Requests before it.
    """

    slower: float
    found: int | None
    false: int
    events: list[Kind]
    requests: int


def real_run(port: int, settings: WatchSettings, learn: int) -> Real:
    """Watch a fresh process: calm, a spike, a restart, and then a slow-down."""
    with service(port) as running:
        running.median_ms(200)
        watcher, kinds = Watcher(settings, learn=learn), []

        def ask(count: int, until: Callable[[Event], bool] = lambda event: False) -> int | None:
            timed = 0
            for request in Probe(running, PAUSE_S, most=count):
                timed += request.counts
                for event in watcher.see(request):
                    kinds.append(event.kind)
                    if until(event):
                        return timed
            return None

        ask(round((learn + settings.warm_up) / TIMED) + 1000)
        before = running.median_ms()
        runs = 100
        running.work(slow_s=5.0)
        ask(500)
        running.kill()
        ask(10)  # refused
        running.begin()
        ask(750)
        false, told, requests = sum(k.is_alarm for k in kinds), list(kinds), watcher.requests
        # 20 % of the latency, by more work: how much a run of the model takes is found out here.
        running.work(runs=2 * runs)
        twice = running.median_ms()
        running.work(runs=runs)
        before = (before + running.median_ms()) / 2
        more = round(runs * (1 + (SLOWER - 1) * before / (twice - before)))
        running.work(runs=more)
        after = running.median_ms()
        found = ask(round(CALM / TIMED), until=lambda event: event.kind is Kind.DEGRADED)
        return Real(after / before, found, false, told, requests)


def main() -> int:
    """Record, simulate, watch for real, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="simulated runs of each kind")
    parser.add_argument("--real", type=int, default=5, help="real runs")
    parser.add_argument("--record", type=int, default=8_000, help="timed requests to record")
    parser.add_argument("--learn", type=int, default=LEARN_REQUESTS, help="requests of a reference")
    parser.add_argument("--series", type=Path, help="file to keep the recorded series in, or read")
    parser.add_argument("--port", type=int, default=8755)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve)
    if options.series is not None and options.series.exists():
        series = np.loadtxt(options.series)
    else:
        with service(options.port) as running:
            running.median_ms(500)
            probe = Probe(running, PAUSE_S, most=round(options.record / TIMED))
            series = np.asarray([one.latency_ms for one in probe if one.counts], np.float64)
        if options.series is not None:
            np.savetxt(options.series, series, fmt="%.5g")
    logs = np.log(series)
    lag = [float(np.corrcoef(logs[:-k], logs[k:])[0, 1]) for k in (1, 20, 100)]
    p50, p95, p99 = np.quantile(series, (0.5, 0.95, 0.99))
    print(
        f"recorded: {len(series)} requests, p50 {p50:.3g} ms, p95 {p95:.3g} ms, p99 {p99:.3g} ms; "
        f"correlation of log latencies 1, 20, 100 requests apart: {lag[0]:.2f}, {lag[1]:.2f}, "
        f"{lag[2]:.2f}"
    )
    rows = [("", f"{SLOWER - 1:.0%} slower", "requests until then", "false alarms")]
    rows += simulated(series, options.runs, options.learn)
    real = [
        real_run(options.port + 1 + k, WatchSettings(), options.learn) for k in range(options.real)
    ]
    if real:
        found = [run.found for run in real if run.found is not None]
        false, seen = sum(run.false for run in real), sum(run.requests for run in real)
        rows.append(
            (
                f"real, {min(r.slower for r in real):.2f} to {max(r.slower for r in real):.2f} ×",
                f"{len(found)} of {len(real)}",
                spread(found),
                f"{false} in {seen:,}",
            )
        )
    rows += [("median, 95th, most", "", "", ""), *told_apart(series, options.runs, options.learn)]
    for what in (Kind.SPIKE, Kind.RESTART):
        right = sum(what in run.events for run in real)
        rows.append((f"a {what}, real", f"{right} of {len(real)} told as one", "", ""))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
