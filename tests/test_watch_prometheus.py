"""`paretune watch --prometheus` against a real Prometheus that scrapes a real histogram."""

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import wait_until

from paretune.search.deliver.watch.event import Kind
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.sources.bucket_blocks import BlockMaker, reference_of_steps
from paretune.search.deliver.watch.sources.prometheus_source import PrometheusSource
from paretune.search.deliver.watch.sources.server_metrics import SERVERS
from paretune.search.deliver.watch.watcher import Watcher
from paretune.spaces import StudyError

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A real Prometheus that scrapes a port every second; its address and the port."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not on the path (Debian's package has it)")
    target, port = free_port(), free_port()
    scraped = [{"job_name": "s", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": scraped}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
    url = f"http://127.0.0.1:{port}"
    command = [program, "--config.file", tmp_path / "prometheus.yml"]
    command += ["--storage.tsdb.path", tmp_path / "data"]
    command += ["--web.listen-address", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_ready(url))
        yield url, target
    finally:
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def has_series(source: PrometheusSource) -> bool:
    try:
        source.between(np.floor(time.time()) - 5, np.floor(time.time()))
    except StudyError:
        return False
    return True


def test_what_a_real_prometheus_scraped_becomes_events(prometheus: tuple[str, int]) -> None:
    library = pytest.importorskip("prometheus_client")
    url, port = prometheus
    registry = library.CollectorRegistry()
    bounds = [k / 1e3 for k in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20)]
    served = library.Histogram(
        "request_predict_seconds", "As KServe's.", ["model_name"], registry=registry, buckets=bounds
    ).labels("iris")
    server, thread = library.start_http_server(port, "127.0.0.1", registry)
    rng, times = np.random.default_rng(0), []
    kserve = SERVERS.get("kserve")
    source = PrometheusSource(url, kserve.query(kserve.buckets, "iris"), kserve.unit_ms, 1.0)
    try:
        wait_until(lambda: has_series(source))
        begin = time.time()
        for second in range(50):
            slower = 1.5 if second >= 30 else 1.0
            for value in slower * rng.gamma(40, 0.125, 60):
                served.observe(value / 1e3)
                times.append(value)
            time.sleep(1.0)
        steps = source.between(np.floor(begin), np.floor(time.time()))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert sum(step.total for step in steps) == pytest.approx(len(times), rel=0.1)
    settings = WatchSettings(spike_s=2.0)
    reference = reference_of_steps(steps[:26], settings, "the first seconds")
    assert reference.p50_ms.value == pytest.approx(float(np.median(times[:1500])), rel=0.05)
    watcher, maker = Watcher(settings, reference), BlockMaker(reference)
    told = [
        event
        for step in steps[26:]
        if (block := maker.add(step)) is not None
        for event in watcher.see_block(block)
    ]
    assert [event.kind for event in told] == [Kind.DEGRADED]
    assert told[0].ratio == pytest.approx(1.5, abs=0.15)
