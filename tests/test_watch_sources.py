"""Where `paretune watch` reads from and tells to: logs, Prometheus, webhooks, metrics, MLflow."""

import http.server
import json
import math
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import place_mlflow, wait_until

from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.latency_reference import LatencyReference
from paretune.search.deliver.watch.listeners.background import InBackground
from paretune.search.deliver.watch.listeners.listener import Watched
from paretune.search.deliver.watch.listeners.metrics_endpoint import MetricsEndpoint
from paretune.search.deliver.watch.listeners.mlflow_run import MlflowRun
from paretune.search.deliver.watch.listeners.webhook import Webhook
from paretune.search.deliver.watch.observation import Failed, Request
from paretune.search.deliver.watch.session import Session, watch_prometheus
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.sources.bucket_blocks import (
    BlockMaker,
    Buckets,
    reference_of_steps,
)
from paretune.search.deliver.watch.sources.log_columns import LogColumns
from paretune.search.deliver.watch.sources.log_file import LogFile
from paretune.search.deliver.watch.sources.prometheus_source import PrometheusSource
from paretune.search.deliver.watch.sources.server_metrics import SERVERS
from paretune.search.deliver.watch.watcher import Watcher
from paretune.spaces import StudyError

WATCHED = Watched("iris", 7, "ab" * 32)
EVENT = Event(Kind.DEGRADED, "latency", 1e9 + 60, 1e9, "1.20 ×", 120, 1.2, 1.1, 1.3)


@contextmanager
def served(answer: Callable[[Any], tuple[int, bytes]]) -> Iterator[str]:
    """Serve HTTP for real; ``answer`` gets the handler, with its ``body``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        body = b""

        def do_GET(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, text = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Logs


def read(path: Path, named: dict[str, str] | None = None, *features: str) -> list[Request]:
    return list(LogFile(path, LogColumns.of(named or {}), frozenset(features)))


def test_a_csv_log(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "time,latency_ms,status,class\n"
        "1700000000.5,5.25,200,a\n"
        "1700000001500,6,500,\n"  # milliseconds since 1970
        "2023-11-14T22:13:22Z,,503,b\n"
        "2023-11-14T22:13:23+00:00,7,404,b",  # the last line may lack its end
        "utf-8",
    )
    rows = read(path, {"output 0: class": "class"}, "output 0: class")
    assert [row.time_s for row in rows] == [1700000000.5, 1700000001.5, 1700000002, 1700000003]
    assert [row.latency_ms for row in rows] == [5.25, None, None, 7.0]
    assert [row.failed for row in rows] == [None, Failed.ERROR, Failed.UNREACHABLE, None]
    assert [dict(row.features) for row in rows] == [
        {"output 0: class": each} if each else {} for each in ("a", "", "b", "b")
    ]


def test_a_log_of_nginx_in_json(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    lines = [
        {"ts": "2026-01-01T00:00:00+01:00", "rt": "0.012", "st": 200},
        {"ts": "2026-01-01T00:00:01+01:00", "rt": "0.002, 0.015", "st": 200},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\nnot json\n{}\n", "utf-8")
    log = LogFile(path, LogColumns.of({"time": "ts", "latency_s": "rt", "status": "st"}))
    assert [row.latency_ms for row in log] == [12.0, 15.0]
    assert log.unread == 2


@pytest.mark.parametrize(
    ("text", "named", "says"),
    [
        ("a,b\n1,2\n", {}, "no column 'time'"),
        ("time,b\n1,2\n", {}, "latency"),
        ("time,latency_ms\nyesterday,2\n", {}, "yesterday"),
    ],
)
def test_a_log_that_cannot_be_read(
    tmp_path: Path, text: str, named: dict[str, str], says: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(StudyError, match=says) as caught:
        read(path, named)
    assert "--column" in str(caught.value)
    with pytest.raises(StudyError, match="cannot read the log"):
        read(tmp_path / "none")
    with pytest.raises(StudyError, match="one column of latency"):
        LogColumns.of({"latency_s": "a", "latency_ms": "b"})


def test_a_log_is_followed_through_its_rotation(tmp_path: Path) -> None:
    path, stop, found = tmp_path / "log.csv", threading.Event(), []
    path.write_text("time,latency_ms\n1,10\n2,2", "utf-8")  # a line that is being written
    log = LogFile(path, LogColumns(), follow=True, stop=stop.is_set)

    def follow() -> None:
        found.extend([])
        for request in log:
            found.append(request.latency_ms)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    wait_until(lambda: found == [10.0])
    with path.open("a", encoding="utf-8") as file:
        file.write("0\n3,30\n")
    wait_until(lambda: found == [10.0, 20.0, 30.0])
    path.rename(tmp_path / "log.1")
    path.write_text("latency_ms,time\n40,4\n", "utf-8")
    wait_until(lambda: found[-1] == 40.0)
    with path.open("a", encoding="utf-8") as file:
        file.write("50,5\n")
    wait_until(lambda: found[-1] == 50.0)
    path.write_text("latency_ms,time\n6,6\n", "utf-8")  # emptied and written anew
    wait_until(lambda: found[-1] == 6.0)
    stop.set()
    thread.join(10)
    assert not thread.is_alive() and not log.unread


# Prometheus


BOUNDS = (1.0, 2.5, 5.0, 7.5, 10.0, 25.0, math.inf)


def counted(times_ms: np.ndarray) -> tuple[float, ...]:
    return tuple(float((times_ms <= bound).sum()) for bound in BOUNDS)


def test_quantiles_of_buckets_agree_with_numpys(rng: np.random.Generator) -> None:
    times = rng.uniform(0.0, 10.0, 100_000)
    step = Buckets(0, 15, BOUNDS, counted(times))
    for share in (0.05, 0.5, 0.95):
        assert step.quantile_ms(share) == pytest.approx(np.quantile(times, share), abs=0.05)
    assert step.above(6.0) == pytest.approx(float((times > 6.0).sum()), rel=0.02)
    assert step.above(30.0) == 0 and step.around(6.0) == (5.0, 7.5)
    assert math.isnan(Buckets(0, 15, BOUNDS, (0.0,) * 7).quantile_ms(0.5))
    assert Buckets(0, 15, BOUNDS, (0.0,) * 6 + (5.0,)).quantile_ms(0.5) == 25.0
    assert (step + step).total == 200_000


class ScrapedCounters:
    """Counters as Prometheus has them when it scraped a server every 15 s, behind its own API."""

    def __init__(self, steps: list[np.ndarray], restart_at: int | None = None) -> None:
        self.values: list[tuple[float, ...]] = [(0.0,) * len(BOUNDS)]
        self.resets = [0.0]
        for place, times in enumerate(steps):
            before = (0.0,) * len(BOUNDS) if place == restart_at else self.values[-1]
            self.values.append(tuple(a + b for a, b in zip(before, counted(times), strict=True)))
            self.resets.append(float(place == restart_at))

    def answer(self, handler: Any) -> tuple[int, bytes]:
        url = urllib.parse.urlsplit(handler.path)
        asked = {name: value[0] for name, value in urllib.parse.parse_qs(url.query).items()}
        if url.path != "/api/v1/query_range" or "broken" in asked["query"]:
            return 400, b'{"status":"error","errorType":"bad_data","error":"parse error"}'
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        times = np.arange(start, end + 1e-9, step)
        result = []
        if "resets" in asked["query"]:
            points = [[at, str(self.resets[int(at // 15)])] for at in times if self._has(at)]
            result = [{"metric": {}, "values": points}]
        elif 'model="iris"' in asked["query"]:
            for place, bound in enumerate(BOUNDS):
                points = [
                    [at, str(self.values[int(at // 15)][place])] for at in times if self._has(at)
                ]
                le = "+Inf" if math.isinf(bound) else f"{bound:g}"
                result.append({"metric": {"le": le}, "values": points})
        data = {"resultType": "matrix", "result": result}
        return 200, json.dumps({"status": "success", "data": data}).encode()

    def _has(self, at: float) -> bool:
        return 0 <= at // 15 < len(self.values)


QUERY = SERVERS.get("triton").query(SERVERS.get("triton").buckets, "iris")


def test_steps_of_prometheus_become_events(rng: np.random.Generator) -> None:
    calm = [rng.gamma(20, 0.3, 60) for _ in range(60)]
    slow = [1.3 * rng.gamma(20, 0.3, 60) for _ in range(20)]
    with served(ScrapedCounters([*calm, *calm[:20], *slow], restart_at=70).answer) as url:
        source = PrometheusSource(url, QUERY, 1.0, 15.0)
        steps = source.between(0.0, 1500.0)
    assert len(steps) == 100 and [step.has_restarted for step in steps].index(True) == 70
    assert steps[3].counts == counted(calm[3])
    settings = WatchSettings()
    reference = reference_of_steps(steps[:60], settings, "steps")
    assert reference.p50_ms.value == pytest.approx(5.9, abs=0.3)
    watcher, maker = Watcher(settings, reference), BlockMaker(reference)
    told = [
        event
        for step in steps[60:]
        if (block := maker.add(step)) is not None
        for event in watcher.see_block(block)
    ]
    assert [event.kind for event in told] == [Kind.RESTART, Kind.DEGRADED]
    assert told[1].ratio == pytest.approx(1.3, abs=0.12)


def test_what_prometheus_cannot_give(rng: np.random.Generator) -> None:
    with served(ScrapedCounters([rng.gamma(20, 0.3, 5)] * 10).answer) as url:
        steps = PrometheusSource(url, QUERY, 1.0, 15.0).between(0.0, 150.0)
        with pytest.raises(StudyError, match="longer time"):
            reference_of_steps(steps, WatchSettings(), "steps")
        with pytest.raises(StudyError, match="has no series"):
            PrometheusSource(url, 'x_bucket{model="other"}', 1.0, 15.0).between(0.0, 150.0)
        with pytest.raises(StudyError, match="refused"):
            PrometheusSource(url, "broken", 1.0, 15.0).between(0.0, 150.0)
    with pytest.raises(StudyError, match="cannot ask Prometheus"):
        PrometheusSource(url, QUERY, 1.0, 15.0).between(0.0, 150.0)


def test_prometheus_is_followed(rng: np.random.Generator) -> None:
    """The clock of Prometheus is this machine's: steps of a second that begin now."""
    begin = math.floor(time.time())
    stop, count = threading.Event(), 0

    def answer(handler: Any) -> tuple[int, bytes]:
        nonlocal count
        count += 1
        if count == 1:
            return 503, b"starting"
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(handler.path).query)
        start, end = (float(asked[name][0]) for name in ("start", "end"))
        points = [[at, str(100 * (at - begin))] for at in np.arange(start, end + 0.5)]
        result = [{"metric": {"le": le}, "values": points} for le in ("5", "+Inf")]
        if "resets" in asked["query"][0]:
            result = []
        data = {"resultType": "matrix", "result": result}
        return 200, json.dumps({"status": "success", "data": data}).encode()

    reference = LatencyReference.of_samples([4.0] * 500, 0.1, 20, "a test")
    session = Session(Watcher(WatchSettings(), reference), [])
    with served(answer) as url:
        source = PrometheusSource(url, "x_bucket", 1.0, 1.0)
        code = watch_prometheus(
            session,
            source,
            begin,
            lambda: stop.is_set() or session.watcher.requests >= 200,
        )
    assert code == 0 and session.watcher.requests >= 200


# Listeners


def test_a_webhook_is_posted_and_tried_again() -> None:
    posts: list[dict[str, Any]] = []
    statuses = [503, 429, 200, 200]

    def answer(handler: Any) -> tuple[int, bytes]:
        posts.append(json.loads(handler.body))
        return statuses[len(posts) - 1], b""

    with served(answer) as url:
        hook = InBackground(Webhook(url, WATCHED, first_wait_s=0.01))
        hook.tell(EVENT)
        hook.tell(EVENT)
        hook.close()
    assert len(posts) == 4
    assert posts[-1] == {
        "study": "iris",
        "trial": "7",
        "digest": "ab" * 6,
        "kind": "degraded",
        "what": "latency",
        "time": "2001-09-09T01:47:40Z",
        "since": "2001-09-09T01:46:40Z",
        "text": "1.20 ×",
        "requests": 120,
        "p50_ratio": [1.2, 1.1, 1.3],
    }


def test_a_webhook_that_refuses_is_told_once_and_does_not_stop_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    posts = []

    def answer(handler: Any) -> tuple[int, bytes]:
        posts.append(handler.body)
        return 404 if len(posts) == 1 else 200, b""

    with served(answer) as url:
        hook = InBackground(Webhook(url, WATCHED, first_wait_s=0.01))
        hook.tell(EVENT)
        hook.tell(EVENT)
        hook.close()
    assert len(posts) == 2 and "404" in caplog.text
    with pytest.raises(StudyError, match="http"):
        Webhook("chat.example", WATCHED)


def test_the_watch_does_not_wait_for_a_webhook() -> None:
    release = threading.Event()

    def answer(handler: Any) -> tuple[int, bytes]:
        release.wait(30)
        return 200, b""

    with served(answer) as url:
        hook = InBackground(Webhook(url, WATCHED))
        for _ in range(50):
            hook.tell(EVENT)  # returns although nobody answers
        assert not release.is_set()
        release.set()
        hook.close()


def watched_state() -> Watcher:
    rng = np.random.default_rng(0)
    reference = LatencyReference.of_samples(rng.normal(5, 0.1, 500), 0.1, 20, "a test")
    watcher = Watcher(WatchSettings(), reference)
    for k in range(40):
        watcher.see(Request(k * 0.1, 10.0))
    return watcher


def test_metrics_are_scraped() -> None:
    pytest.importorskip("prometheus_client")
    endpoint = MetricsEndpoint(0, WATCHED, "127.0.0.1")
    try:
        endpoint.tell(EVENT)
        endpoint.update(watched_state().state)
        with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(StudyError, match="--metrics-port"):
            MetricsEndpoint(endpoint.port, WATCHED, "127.0.0.1")
    finally:
        endpoint.close()
    from prometheus_client.parser import text_string_to_metric_families

    labels = {"study": "iris", "trial": "7", "digest": "ab" * 6}
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if {name: sample.labels.get(name) for name in labels} == labels
        and sample.labels.get("kind", "degraded") == "degraded"
    }
    assert found["paretune_watch_p50_latency_ms"] == 10.0
    assert found["paretune_watch_p50_ratio"] == pytest.approx(2.0, rel=0.01)
    assert found["paretune_watch_events_total"] == 1
    assert found["paretune_watch_requests_total"] == 40
    assert found["paretune_watch_exit_code"] == 0


def test_a_watch_is_a_run_in_mlflow_below_its_trial(tmp_path: Path) -> None:
    from paretune.search.review.mlflow.client import mlflow_client

    place_mlflow(tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow_client(uri)
    artifacts = (tmp_path / "artifacts").as_uri()
    experiment = client.create_experiment("iris", artifact_location=artifacts)
    tags = {"paretune.trial": "7", "paretune.role": "trial"}
    trial = client.create_run(experiment, tags=tags).info.run_id
    listener = InBackground(MlflowRun(uri, WATCHED))
    watcher = watched_state()
    listener.update(watcher.state)
    listener.tell(EVENT)
    listener.close()
    runs = client.search_runs([experiment], "tags.`paretune.role` = 'watch'")
    assert len(runs) == 1 and runs[0].info.status == "FINISHED"
    assert runs[0].data.tags["mlflow.parentRunId"] == trial
    assert runs[0].data.tags["paretune.digest"] == "ab" * 32
    assert runs[0].data.metrics["watch_p50_latency_ms"] == 10.0
    assert client.get_run(trial).data.tags["paretune.watch"] == "as published"
    assert client.get_run(trial).data.tags["paretune.watch.alarm"] == EVENT.line


def test_a_listener_that_fails_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def tell(self, event: Event) -> None:
            raise RuntimeError("no")

        def update(self, state: object) -> None:
            raise RuntimeError("no")

        def close(self) -> None:
            raise RuntimeError("no")

    seen = []

    class Other(Broken):
        def tell(self, event: Event) -> None:
            seen.append(event.kind)

        def update(self, state: object) -> None: ...

        def close(self) -> None: ...

    watcher = Watcher(WatchSettings(), learn=500)
    with Session(watcher, [Broken(), Other()]).open() as session:
        assert session.run(Request(k * 0.1, 5.0) for k in range(600)) == 0
    assert seen == [Kind.STARTED] and "Broken is told nothing more" in caplog.text
