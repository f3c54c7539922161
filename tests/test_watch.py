"""`paretune watch` as a person uses it: of a real service, of a log, and with wrong options."""

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_paretune
from live_servers import Handler, Model, json_routes, served, v2_routes
from served_bundles import WIDTH, write_bundle
from watched_series import latencies

from paretune.search.deliver.export import plain_name
from paretune.search.deliver.live.bundle_requests import BundleRequests
from paretune.search.deliver.live.service import PROTOCOLS, Endpoint
from paretune.search.deliver.verification import read_manifest
from paretune.search.deliver.watch.data_reference import DataReference
from paretune.search.deliver.watch.observation import Failed
from paretune.search.deliver.watch.sources.probe import Probe
from paretune.search.deliver.watch.sources.service_client import ServiceClient

TOLERANT = ("--tolerance", "400", "--spike-s", "0.01", "--every", "0", "--learn", "440")
"""A machine that is busy with other tests makes a service some times as slow now and then."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


class Changing:
    """A route that does something else from a request on."""

    def __init__(self, route: Callable[..., Any], after: int, other: Callable[..., Any]) -> None:
        self.route, self.after, self.other, self.count = route, after, other, 0

    def __call__(self, handler: Handler, body: bytes) -> Any:
        self.count += 1
        return (self.other if self.count > self.after else self.route)(handler, body)


def test_a_service_that_stays_as_published(bundle: Path) -> None:
    name = plain_name("Toy study")  # as `paretune export` calls it
    with served(v2_routes(Model(bundle / "model.onnx"), name)) as url:
        asked = ("--url", url, *TOLERANT, "--requests", "1200", "--json")
        done = run_paretune("watch", bundle, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    first = events(done.stdout)[0]
    assert first["kind"] == "started" and first["trial"] == "7" and len(first["digest"]) == 12
    assert "the first 440 requests" in first["text"]


def test_a_service_that_becomes_slow(bundle: Path) -> None:
    routes = json_routes(Model(bundle / "model.onnx"), {})
    predict = routes["POST", "/predict"]

    def slow(handler: Handler, body: bytes) -> Any:
        time.sleep(0.03)
        return predict(handler, body)

    routes["POST", "/predict"] = Changing(predict, 800, slow)
    with served(routes) as url:
        asked = ("--url", url, "--protocol", "json", *TOLERANT, "--requests", "1060")
        done = run_paretune("watch", bundle, *asked)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "degraded: latency: p50" in done.stdout and "(since " in done.stdout


def test_a_service_of_another_model(bundle: Path, tmp_path: Path) -> None:
    routes = json_routes(Model(bundle / "model.onnx"), {})
    predict = routes["POST", "/predict"]

    def other(handler: Handler, body: bytes) -> Any:
        status, headers, answer = predict(handler, body)
        outputs = json.loads(answer)["outputs"]
        outputs["output"] = [[2 * value for value in row] for row in outputs["output"]]
        return status, headers, json.dumps({"outputs": outputs}).encode()

    routes["POST", "/predict"] = Changing(predict, 100, other)
    with served(routes) as url:
        asked = ("--url", url, "--protocol", "json", *TOLERANT, "--requests", "200", "--json")
        done = run_paretune("watch", bundle, *asked)
    assert done.returncode == 5, done.stdout + done.stderr
    (told,) = events(done.stdout)
    assert told["kind"] == "different answers" and "%" in told["text"]


def test_a_client_tells_a_restart_from_an_error(bundle: Path) -> None:
    model = Model(bundle / "model.onnx")
    routes = json_routes(model, {})
    predict = routes["POST", "/predict"]
    routes["POST", "/predict"] = Changing(predict, 1, lambda *_: (500, {}, b'{"error": "no"}'))
    requests = BundleRequests.of(bundle, read_manifest(bundle))
    with served(routes) as url:
        client = ServiceClient(PROTOCOLS.get("json").open(Endpoint(url)), requests)
        assert client.count == len(requests)
        first, second = client.ask(0), client.ask(1)
        client.close()  # its thread of the server would go on
    assert first.failed is None and first.latency_ms and first.difference == ""
    assert second.failed is Failed.ERROR and second.latency_ms is None
    assert client.ask(2).failed is Failed.UNREACHABLE


def test_a_probe_times_what_comes_after_the_waking_requests(bundle: Path) -> None:
    with served(json_routes(Model(bundle / "model.onnx"), {})) as url:
        requests = BundleRequests.of(bundle, read_manifest(bundle))
        client = ServiceClient(PROTOCOLS.get("json").open(Endpoint(url)), requests)
        found = list(Probe(client, 0.0, group=4, waking=2, most=10))
        client.close()
    assert [each.counts for each in found] == [False, False, True, True] * 2 + [False, False]
    assert all(each.difference == "" for each in found)


def write_log(path: Path, times: np.ndarray, **columns: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ts", "seconds", *columns])
        for place, each in enumerate(times):
            row = [1.7e9 + 0.1 * place, each / 1e3, *(c[place] for c in columns.values())]
            writer.writerow(row)
    return path


COLUMNS = ("--column", "time=ts", "--column", "latency_s=seconds")


def test_a_log_read_to_its_end(bundle: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    calm = write_log(tmp_path / "calm.csv", latencies(rng, 1500))
    done = run_paretune("watch", bundle, "--log", calm, *COLUMNS, "--once")
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done.stdout + done.stderr
    times = latencies(rng, 1500)
    times[1000:] *= 1.2
    slow = write_log(tmp_path / "slow.csv", times)
    done = run_paretune("watch", bundle, "--log", slow, *COLUMNS, "--once")
    assert done.returncode == 3 and "2023-11-14T22:1" in done.stdout, done.stdout + done.stderr
    few = write_log(tmp_path / "few.csv", times[:300])
    done = run_paretune("watch", bundle, "--log", few, *COLUMNS, "--once")
    assert done.returncode == 0 and "nothing was watched" in done.stderr


def test_a_log_whose_inputs_drift(bundle: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    inputs = rng.normal(size=(300, WIDTH)).astype(np.float32)
    DataReference.of_arrays([inputs], []).save(bundle)
    values = rng.normal(size=4000)
    values[2000:] += 1.5
    log = write_log(tmp_path / "log.csv", latencies(rng, 4000), width=values)
    column = ("--column", "input 0: [2]=width")
    done = run_paretune("watch", bundle, "--log", log, *COLUMNS, *column, "--once", "--json")
    assert done.returncode == 5, done.stdout + done.stderr
    told = [event for event in events(done.stdout) if event["kind"] == "drifted"]
    assert len(told) == 1 and told[0]["what"] == "inputs" and "[2]" in told[0]["text"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give one source"),
        (("--url", "http://x", "--log", "y"), "--url and --log"),
        (("--prometheus", "http://127.0.0.1:9"), "--server NAME"),
        (("--prometheus", "http://127.0.0.1:9", "--server", "triton"), "cannot ask Prometheus"),
        (("--log", "none.csv", "--once"), "cannot read the log"),
        (("--log", "none.csv", "--reference", "live"), "has no live.json"),
        (("--log", "none.csv", "--column", "time"), "WHAT=COLUMN"),
        (("--log", "none.csv", "--webhook", "chat"), "http"),
    ],
)
def test_wrong_options(bundle: Path, options: tuple[str, ...], says: str) -> None:
    done = run_paretune("watch", bundle, *options)
    assert done.returncode in (1, 2) and says in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
