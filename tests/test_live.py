"""A served model is compared with its bundle: against real small servers in this process."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_paretune
from live_servers import Model, Route, json_routes, mlflow_routes, ok, served, v2_routes
from served_bundles import SAMPLES, WIDTH, write_bundle, write_plan

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.live import one_client
from paretune.search.deliver.live.bundle_requests import BundleRequests
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.live.live_settings import LiveSettings
from paretune.search.deliver.live.live_text import live_lines
from paretune.search.deliver.live.live_verification import LiveVerification, LiveWish
from paretune.search.deliver.live.one_client import OneClient, mean_parts
from paretune.search.deliver.live.open_loop import OfferedLoad, offer, percentile_interval
from paretune.search.deliver.live.protocols.triton_facts import (
    provenance_of_config,
    statistics_counters,
)
from paretune.search.deliver.live.service import PROTOCOLS, Endpoint
from paretune.search.deliver.live.service_check import seconds_for, verify_service
from paretune.search.deliver.live.verdict import Budget, judge_client, judge_load
from paretune.search.deliver.verification import Verdict
from paretune.search.record.wish import Wish
from paretune.spaces import ServiceError, SpaceError, StudyError

QUICK = LiveSettings(
    connections=2,
    warmup_seconds=0.05,
    min_seconds=0.02,
    min_calls=40,
    max_connections=8,
    pause_seconds=0.0,
)
NAME = "Toy-study"  # the default: the study's name, as it is exported
Routes = dict[tuple[str, str], Route]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def promise(bundle: Path, p50_ms: float) -> None:
    """Let the manifest promise this time per call."""
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["metrics"]["latency_p50_ms"] = {"value": p50_ms, "low": p50_ms, "high": p50_ms}
    path.write_text(json.dumps(manifest), "utf-8")


def verified(
    bundle: Path,
    routes: Routes,
    protocol: str = "v2",
    wish: LiveWish | None = None,
    **endpoint: Any,
) -> LiveVerification:
    promise(bundle, 1e-6)  # this machine's times are not what these tests are about
    with served(routes) as url:
        return verify_service(bundle, Endpoint(url, **endpoint), protocol, wish, QUICK)


def v2(bundle: Path, **options: Any) -> Routes:
    return v2_routes(Model(bundle / "model.onnx"), NAME, **options)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("axis", "scaled"), [(0, False), (1, False), (0, True)])
def test_v2_answers_are_compared(tmp_path: Path, binary: bool, axis: int, scaled: bool) -> None:
    bundle = write_bundle(tmp_path / "bundle", axis=axis, scaled=scaled)
    found = verified(bundle, v2(bundle, binary=binary))
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    assert [(each.size, each.is_equal) for each in found.answers] == [(1, True), (4, True)]
    assert [each.size for each in found.clients] == [1, 4]
    assert all(client.network_ms is not None for client in found.clients)


def test_mlflow_and_json_services(bundle: Path) -> None:
    model = Model(bundle / "model.onnx")
    found = verified(bundle, mlflow_routes(model), "mlflow")
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    assert "cannot be known" in "\n".join(live_lines(found))
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    told = {
        "provider": "CPUExecutionProvider",
        "threads": 1,
        "model_sha256": manifest["model"]["sha256"],
    }
    found = verified(bundle, json_routes(model, told), "json")
    assert found.verdict is Verdict.AS_PROMISED and not found.notes, found
    told = "\n".join(live_lines(found))
    assert "CPUExecutionProvider, 1 thread" in told and "1 threads" not in told


def test_several_inputs_go_by_name_to_mlflow(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", scaled=True)
    found = verified(bundle, mlflow_routes(Model(bundle / "model.onnx")), "mlflow")
    assert found.verdict is Verdict.AS_PROMISED, found.reason


def test_a_fixed_batch_is_sent_whole(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", batch=4, batch_size=4)
    for name in ("inputs", "outputs"):  # so that the last batch must be filled up
        np.save(bundle / f"{name}.npy", np.load(bundle / f"{name}.npy")[: SAMPLES - 2])
    found = verified(bundle, v2(bundle))
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    assert [(each.size, each.samples) for each in found.answers] == [(4, SAMPLES - 2)]


@pytest.mark.parametrize("protocol", ["v2", "json", "mlflow"])
def test_a_swapped_model_gives_different_answers(
    bundle: Path, tmp_path: Path, protocol: str
) -> None:
    other = swapped(bundle, tmp_path)
    routes = {
        "v2": v2_routes(other, NAME),
        "json": json_routes(other, {}),
        "mlflow": mlflow_routes(other),
    }
    found = verified(bundle, routes[protocol], protocol)
    assert found.verdict is Verdict.DIFFERENT_ANSWERS and "% of the largest" in found.reason
    assert not found.clients  # no time is spent on another model


def swapped(bundle: Path, folder: Path) -> Model:
    """Return a model of the same shape with other weights."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(bundle / "model.onnx")
    weight = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(1.01 * weight, "weight"))
    onnx.save(model, folder / "other.onnx")
    return Model(folder / "other.onnx")


def test_a_model_that_depends_on_the_batch_is_told_from_another_one(bundle: Path) -> None:
    """Answers of the measured batch decide, as dynamic quantization's depend on the batch."""
    model = Model(bundle / "model.onnx")
    routes = v2_routes(model, NAME)
    infer = routes["POST", f"/v2/models/{NAME}/infer"]

    def lonely(handler: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        status, headers, answer = infer(handler, body)
        values = json.loads(answer)
        if values["outputs"][0]["shape"][0] == 1:
            values["outputs"][0]["data"] = [1.01 * each for each in values["outputs"][0]["data"]]
        return status, headers, json.dumps(values).encode()

    routes["POST", f"/v2/models/{NAME}/infer"] = lonely
    found = verified(bundle, routes)
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    assert any("depend on the batch" in note for note in found.notes)


def test_metadata_of_another_model(bundle: Path, tmp_path: Path) -> None:
    model = Model(bundle / "model.onnx")

    def verdict(**change: Any) -> LiveVerification:
        values = model.metadata()
        values["inputs"][0] |= change
        return verified(bundle, v2(bundle) | {("GET", f"/v2/models/{NAME}"): ok(values)})

    found = verdict(shape=[-1, WIDTH + 1])
    assert found.verdict is Verdict.OTHER_MODEL == 11
    assert "[any, 5] at the service" in found.reason
    assert "is int64 at the service, and float32" in verdict(datatype="INT64").reason
    assert "has the inputs x, the bundle's has input" in verdict(name="x").reason
    assert verdict(shape=[WIDTH]).verdict is Verdict.AS_PROMISED  # without the batch
    garbage = v2(bundle) | {("GET", f"/v2/models/{NAME}"): ok({"inputs": [{"name": "x"}]})}
    with pytest.raises(ServiceError, match="is this the right --protocol"):
        verified(bundle, garbage)


def test_another_file_and_another_provider(bundle: Path) -> None:
    model = Model(bundle / "model.onnx")
    found = verified(bundle, json_routes(model, {"model_sha256": "0" * 64}), "json")
    assert found.verdict is Verdict.OTHER_MODEL and "names a model file 000000" in found.reason
    told = {"provider": "CUDAExecutionProvider", "threads": 3}
    found = verified(bundle, json_routes(model, told), "json", LiveWish(saves=True))
    assert found.verdict is Verdict.OTHER_PROVIDER == 12
    assert "says CUDAExecutionProvider; CPUExecutionProvider was measured" in found.reason
    assert any("with 3 threads; 1 were measured" in note for note in found.notes)
    assert found.saved is None and not (bundle / "live.json").exists()
    # An answer may tell it as well, as the exported MLServer runtime does.
    routes = v2(bundle)
    infer = routes["POST", f"/v2/models/{NAME}/infer"]

    def telling(handler: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        status, headers, answer = infer(handler, body)
        values = json.loads(answer) | {"parameters": {"provider": "OpenVINOExecutionProvider"}}
        return status, headers, json.dumps(values).encode()

    found = verified(bundle, routes | {("POST", f"/v2/models/{NAME}/infer"): telling})
    assert found.verdict is Verdict.OTHER_PROVIDER and "each answer says" in found.reason


def test_nobody_answers(bundle: Path) -> None:
    with served({}) as url:
        pass  # the port is free again
    for protocol in ("v2", "json", "mlflow"):
        found = verify_service(bundle, Endpoint(url), protocol, settings=QUICK)
        assert found.verdict is Verdict.UNREACHABLE == 9
        assert "is the service running, and is this its address?" in found.reason
    done = run_paretune("verify", bundle, "--url", url)
    assert done.returncode == 9 and "unreachable: " in done.stdout


def test_no_answer_in_time(bundle: Path) -> None:
    def silent(*_: Any) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.5)
        return 200, {}, b"{}"

    routes = v2(bundle) | {("POST", f"/v2/models/{NAME}/infer"): silent}
    found = verified(bundle, routes, timeout_s=0.1)
    assert found.verdict is Verdict.UNREACHABLE and "no answer within 0.1 s" in found.reason


def test_a_wrong_name_and_a_wrong_protocol(bundle: Path) -> None:
    found = verified(bundle, v2(bundle), model="another")
    assert found.verdict is Verdict.DOES_NOT_RUN == 6
    assert f"(it has {NAME}: pass one as --model)" in found.reason and "404" in found.reason
    found = verified(bundle, v2(bundle), "mlflow")
    assert found.verdict is Verdict.DOES_NOT_RUN and "GET /ping was refused" in found.reason
    routes = json_routes(Model(bundle / "model.onnx"), {}) | {("POST", "/predict"): ok(b"<html>")}
    found = verified(bundle, routes, "json")
    assert found.verdict is Verdict.DOES_NOT_RUN and "not JSON" in found.reason
    with pytest.raises(SpaceError, match="protocol must be one of v2, v2-grpc, mlflow, json"):
        verified(bundle, {}, "soap")
    with pytest.raises(ServiceError, match="must be http://HOST"):
        verify_service(bundle, Endpoint("127.0.0.1:8000"), settings=QUICK)


def test_headers_are_sent(bundle: Path) -> None:
    routes = v2(bundle)

    def guarded(route: Route) -> Route:
        def checked(handler: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
            allowed = handler.headers.get("Authorization") == "Bearer x"
            return route(handler, body) if allowed else (401, {}, b"who are you?")

        return checked

    routes = {key: guarded(route) for key, route in routes.items()}
    found = verified(bundle, routes)
    assert found.verdict is Verdict.DOES_NOT_RUN and "401: who are you?" in found.reason
    found = verified(bundle, routes, headers={"Authorization": "Bearer x"})
    assert found.verdict is Verdict.AS_PROMISED, found.reason


@pytest.mark.slow
def test_saved_times_are_compared_with(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_client, "cpu_share", lambda: 1.0)  # however busy this machine is
    promise(bundle, 1e-6)
    careful = replace(QUICK, connections=6)  # the interval over two may reach below zero
    with served(v2(bundle)) as url:
        found = verify_service(bundle, Endpoint(url), wish=LiveWish(saves=True), settings=careful)
        assert found.saved == bundle / "live.json", found.reason
        record = LiveRecord.of_bundle(bundle)
        assert record is not None and record.url == url and record.protocol == "v2"
        assert len(record.latency_ms) >= 80 and set(record.latencies) == {1, 4}

        def with_times(factor: float) -> LiveVerification:
            latencies = {
                size: {
                    name: Statistic(*(factor * x for x in (each.value, *each.ends)))
                    for name, each in times.items()
                }
                for size, times in record.latencies.items()
            }
            replace(record, latencies=latencies).save(bundle)
            return verify_service(bundle, Endpoint(url), settings=careful)

        slower = with_times(1e-3)
        assert slower.verdict is Verdict.SLOWER, slower.reason
        assert "× the saved value" in slower.reason and slower.record is not None
        for twice in (found, slower):  # what is saved, and what is not as saved
            assert len(twice.clients[0].times_ms) == 2 * careful.connections
        with monkeypatch.context() as busy:
            busy.setattr(one_client, "cpu_share", lambda: 0.5)
            unknown = with_times(1e-3)
            assert unknown.verdict is Verdict.CANNOT_TELL and "machine was busy" in unknown.reason
            wish = LiveWish(saves=True)
            (bundle / "live.json").unlink()
            unsaved = verify_service(bundle, Endpoint(url), wish=wish, settings=careful)
            assert unsaved.verdict is Verdict.CANNOT_TELL and unsaved.saved is None
        faster = with_times(1e3)
        assert faster.verdict is Verdict.FASTER and "× the saved value" in faster.reason
    with served(v2(bundle)) as url:  # another address
        found = verify_service(bundle, Endpoint(url), settings=careful)
        assert found.record is None and any("not compared" in note for note in found.notes)
        assert len(found.clients[0].times_ms) == careful.connections
    (bundle / "live.json").write_text('{"live_version": 99}', "utf-8")
    with pytest.raises(StudyError, match=r"its version is 99.*--save"):
        verify_service(bundle, Endpoint("http://127.0.0.1:1"))


def test_a_rate_is_offered(bundle: Path) -> None:
    wish = LiveWish(rate_per_s=200.0, max_latency_ms=60_000.0, seconds=1.5)
    found = verified(bundle, v2(bundle), wish=wish)
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    load = found.load
    assert load is not None and load.failed == 0 and 200 < len(load.latency_ms) < 400
    assert "and the budget 60000 ms" in found.reason
    found = verified(bundle, v2(bundle), wish=replace(wish, max_latency_ms=1e-4))
    assert found.verdict in (Verdict.NOT_AT_RATE, Verdict.CANNOT_TELL)
    assert "requests per second the p99 is" in found.reason
    with pytest.raises(StudyError, match=r"needs at least 200 requests.*pass --seconds 200"):
        verified(bundle, v2(bundle), wish=LiveWish(rate_per_s=10.0, max_latency_ms=1, seconds=1))
    with pytest.raises(StudyError, match="pass --max-p99-ms"):
        verified(bundle, v2(bundle), wish=LiveWish(rate_per_s=10.0))
    with pytest.raises(StudyError, match="paretune capacity"):
        verified(bundle, v2(bundle), wish=LiveWish(at_capacity=True))


def test_the_plan_gives_rate_and_budget(bundle: Path) -> None:
    write_plan(
        bundle,
        capacity_per_s=Statistic(150.0, 140.0, 160.0),
        percentile=95,
        max_latency_ms=60_000.0,
    )
    found = verified(bundle, v2(bundle), wish=LiveWish(at_capacity=True, seconds=1.0))
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    assert found.budget == Budget(60_000.0, 95, "the serving plan")
    assert found.load is not None and found.load.arrivals == "Poisson, 140 per second"


def test_the_limit_of_the_pick_is_the_budget(bundle: Path) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["wish"] = Wish(max_latency_ms=60_000.0, percentile="p90").as_dict()
    path.write_text(json.dumps(manifest), "utf-8")
    found = verified(bundle, v2(bundle))
    assert found.verdict is Verdict.AS_PROMISED and "one client keeps the budget" in found.reason
    budget = found.budget
    assert budget is not None and (budget.max_latency_ms, budget.percentile) == (60_000.0, 90)
    assert budget.source.startswith("the limit of the pick")
    told = verified(bundle, v2(bundle), wish=LiveWish(max_latency_ms=70_000.0)).budget
    assert told is not None and (told.max_latency_ms, told.percentile) == (70_000.0, 99)


def test_refusals_under_load_count_as_too_late(bundle: Path) -> None:
    promise(bundle, 1e-6)
    routes = v2(bundle)
    infer = routes["POST", f"/v2/models/{NAME}/infer"]
    calls = iter(range(10**9))

    def tired(handler: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return (503, {}, b"too many") if next(calls) % 10 == 9 else infer(handler, body)

    with served(routes | {("POST", f"/v2/models/{NAME}/infer"): tired}) as url:
        endpoint = Endpoint(url, NAME)
        service = PROTOCOLS.get("v2").open(endpoint)
        manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
        requests = BundleRequests.of(bundle, manifest)
        messages = requests.messages(service, 1)
        load = offer(service, messages, Arrivals.poisson(200, 2.0, 0), 4, 10.0)
    assert 0.05 < load.failed / len(load.latency_ms) < 0.15
    assert (load.latency_ms >= 10_000).sum() == load.failed and "503" in load.first_failure
    verdict, reason = judge_load(load, Budget(5_000.0, 99, "test"))
    assert verdict is Verdict.NOT_AT_RATE and "had no answer" in reason


def load_of(latency_ms: np.ndarray, late_ms: float = 0.0) -> OfferedLoad:
    return OfferedLoad("test", 100.0, latency_ms, 0, "", np.full(len(latency_ms), late_ms), {})


def test_a_rate_is_missed_if_the_whole_interval_is_beyond(rng: np.random.Generator) -> None:
    times = rng.exponential(10.0, 2000)
    p99 = load_of(times).latency(99)
    held = Budget(p99.value * 1.01, 99, "test")
    assert judge_load(load_of(times), held)[0] is Verdict.AS_PROMISED
    unsure = Budget(p99.value * 0.99, 99, "test")
    verdict, reason = judge_load(load_of(times), unsure)
    assert p99.ends[0] < unsure.max_latency_ms
    assert verdict is Verdict.CANNOT_TELL and "only a longer load (--seconds) tells" in reason
    missed = Budget(p99.ends[0] * 0.99, 99, "test")
    assert judge_load(load_of(times), missed)[0] is Verdict.NOT_AT_RATE
    late = load_of(times, late_ms=0.2 * missed.max_latency_ms)
    verdict, reason = judge_load(late, missed)
    assert verdict is Verdict.CANNOT_TELL and "client itself sent late" in reason


@pytest.mark.parametrize("q", [95, 99])
def test_the_interval_of_a_percentile_in_a_queue_covers_it(q: int) -> None:
    """The percentile of a queue whose times are known (M/M/1: exponential, of rate μ - λ)."""
    truth, count, runs, covered = -np.log(1 - q / 100) / (1.0 - 0.6), 2500, 60, 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        gaps, service = random.exponential(1 / 0.6, count), random.exponential(1.0, count)
        times, wait = np.empty(count), 0.0
        for place in range(count):
            times[place] = wait + service[place]
            wait = max(0.0, times[place] - gaps[place])
        found = percentile_interval(times[500:], q)
        covered += found.ends[0] <= truth <= found.ends[1]
    assert covered >= 0.85 * runs  # ten sections, or a bootstrap, cover the p99 in 80 %


def client(size: int, p50_ms: float, spread: float = 0.02) -> OneClient:
    times = tuple((p50_ms * (1 + spread * each),) * 200 for each in (-1.0, 0.0, 1.0))
    return OneClient(size, times, ((0.1,),) * 3, 0.0, (1.0,) * 3, {})


def record_of(clients: list[OneClient]) -> LiveRecord:
    return LiveRecord.of("http://x", "v2", "m", clients)


def test_verdicts_of_one_client() -> None:
    def verdict(now: float, then: float | None, budget: float | None, own: float = 1.0) -> Verdict:
        record = None if then is None else record_of([client(1, then)])
        limit = None if budget is None else Budget(budget, 99, "test")
        return judge_client([client(1, now)], record, limit, Statistic(own, own, own), 1)[0]

    assert verdict(5.0, 5.2, None) is Verdict.AS_PROMISED
    assert verdict(6.5, 5.0, None) is Verdict.SLOWER
    assert verdict(4.0, 5.0, None) is Verdict.FASTER
    assert verdict(5.0, None, None) is Verdict.AS_PROMISED
    assert verdict(5.0, None, 6.0) is Verdict.AS_PROMISED
    assert verdict(5.0, None, 4.0) is Verdict.OVER_BUDGET
    assert verdict(5.0, 5.0, 4.0) is Verdict.OVER_BUDGET  # saved times do not excuse it
    assert verdict(0.5, None, 6.0) is Verdict.FASTER


def test_of_two_sizes_a_slower_one_decides() -> None:
    record = record_of([client(1, 5.0), client(8, 10.0)])
    found = judge_client([client(1, 3.0), client(8, 20.0)], record, None, None, 8)
    assert found[0] is Verdict.SLOWER and found[1].startswith("requests of 8")


def test_triton_tells_the_provider_and_the_parts_of_a_request() -> None:
    config = {
        "backend": "onnxruntime",
        "instance_group": [{"kind": "KIND_CPU", "count": 2}],
        "parameters": {"intra_op_thread_count": {"string_value": "3"}},
    }
    found = provenance_of_config(config)
    assert (found.provider, found.threads) == ("CPUExecutionProvider", 3)
    config["instance_group"] = [{"kind": "KIND_GPU", "count": 1}]
    assert provenance_of_config(config).provider == "CUDAExecutionProvider"
    accelerators = {"gpu_execution_accelerator": [{"name": "tensorrt"}]}
    config["optimization"] = {"execution_accelerators": accelerators}
    assert provenance_of_config(config).provider == "TensorrtExecutionProvider"
    with pytest.raises(ServiceError):
        provenance_of_config({"error": "no"})

    def stats(count: int) -> dict[str, Any]:
        inference = {
            "success": {"count": str(count), "ns": str(count * 5_000_000)},
            "queue": {"count": str(count), "ns": str(count * 1_000_000)},
            "compute_infer": {"count": str(count), "ns": str(count * 3_000_000)},
        }
        return {"model_stats": [{"inference_stats": inference}]}

    parts = mean_parts(statistics_counters(stats(10)), statistics_counters(stats(30)))
    assert parts == pytest.approx({"request": 5.0, "queue": 1.0, "compute": 3.0})
    with pytest.raises(ServiceError):
        statistics_counters({})


@pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None, reason="prometheus-client is missing"
)
def test_what_a_server_counts_splits_its_time(bundle: Path) -> None:
    text = b"""# TYPE ovms_inference_time_us histogram
ovms_inference_time_us_sum{name="Toy-study"} %d
ovms_inference_time_us_count{name="Toy-study"} %d
ovms_inference_time_us_sum{name="another"} 1e9
ovms_inference_time_us_count{name="another"} 1
"""
    asked = iter(range(10))

    def metrics(*_: Any) -> tuple[int, dict[str, str], bytes]:
        turn = next(asked)
        return 200, {}, text % (1000 + 2500 * 40 * turn, 10 + 40 * turn)

    found = verified(bundle, v2(bundle) | {("GET", "/metrics"): metrics})
    assert found.clients[0].parts_ms == pytest.approx({"compute": 2.5})
    assert "2.5 ms in the model" in "\n".join(live_lines(found))


def test_the_command(bundle: Path, tmp_path: Path) -> None:
    with served(mlflow_routes(swapped(bundle, tmp_path))) as url:
        done = run_paretune("verify", bundle, "--url", f"{url}/", "--protocol", "mlflow")
    assert done.returncode == Verdict.DIFFERENT_ANSWERS, done.stdout + done.stderr
    assert "answers: 20 samples in requests of 1: output: answers differ" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("different answers: ")
    for options, message in (
        (["--rate", "5"], "--rate: for a check of a service: pass its address as --url"),
        (["--save"], "--save: for a check of a service"),
        (["--url", url, "--rate", "5", "--at-capacity"], "two rates"),
        (["--url", url, "--header", "x"], "KEY=VALUE"),
    ):
        done = run_paretune("verify", bundle, *options)
        assert done.returncode == 2 and message in done.stderr


def test_how_long_a_rate_is_offered() -> None:
    assert seconds_for(1000.0, 99) == 20.0
    assert seconds_for(50.0, 99) == 40.0


grpc_is_there = importlib.util.find_spec("grpc") is not None


@pytest.mark.skipif(not grpc_is_there, reason="grpcio is missing: pip install 'paretune[live]'")
@pytest.mark.parametrize("raw", [True, False])
def test_v2_over_grpc(bundle: Path, tmp_path: Path, raw: bool) -> None:
    promise(bundle, 1e-6)
    with grpc_server(Model(bundle / "model.onnx"), raw) as url:
        found = verify_service(bundle, Endpoint(url, "toy"), "v2-grpc", settings=QUICK)
        assert found.verdict is Verdict.AS_PROMISED, found.reason
        assert found.provenance is not None and found.provenance.threads == 1
        found = verify_service(bundle, Endpoint(url, "other"), "v2-grpc", settings=QUICK)
        assert found.verdict is Verdict.DOES_NOT_RUN and "'other' is not ready" in found.reason
    found = verify_service(bundle, Endpoint(url, "toy", timeout_s=2), "v2-grpc", settings=QUICK)
    assert found.verdict is Verdict.UNREACHABLE and "is this the port of gRPC" in found.reason
    with grpc_server(swapped(bundle, tmp_path), raw) as url:
        found = verify_service(bundle, Endpoint(url, "toy"), "v2-grpc", settings=QUICK)
    assert found.verdict is Verdict.DIFFERENT_ANSWERS


@contextmanager
def grpc_server(model: Model, raw: bool) -> Iterator[str]:
    """Serve a model over gRPC; answers have raw bytes or typed lists."""
    import grpc
    from tritonclient.grpc import service_pb2 as pb
    from tritonclient.grpc import service_pb2_grpc

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.ServerReadyResponse(ready=True)

        def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
            return pb.ModelReadyResponse(ready=request.name == "toy")

        def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
            values = model.metadata()
            return pb.ModelMetadataResponse(
                name="toy",
                platform="onnx",
                inputs=[pb.ModelMetadataResponse.TensorMetadata(**e) for e in values["inputs"]],
                outputs=[pb.ModelMetadataResponse.TensorMetadata(**e) for e in values["outputs"]],
            )

        def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
            values = {
                each.name: np.frombuffer(data, np.float32).reshape([*each.shape])
                for each, data in zip(request.inputs, request.raw_input_contents, strict=True)
            }
            response = pb.ModelInferResponse(model_name="toy")
            response.parameters["threads"].int64_param = 1
            for name, array in model.run(model.feed(values)).items():
                output = response.outputs.add(name=name, datatype="FP32", shape=array.shape)
                if raw:
                    response.raw_output_contents.append(array.tobytes())
                else:
                    output.contents.fp32_contents.extend(array.ravel().tolist())
            return response

    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
