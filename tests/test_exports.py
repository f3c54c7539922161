"""Exports: figures of the bundle and its plan in each target's files, read by each target's own."""

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import numpy as np
import pytest
import yaml
from conftest import copy_study, run_paretune
from served_bundles import write_bundle, write_plan

import paretune
from paretune.search.deliver.export import export_bundle
from paretune.search.deliver.service.notes import cache_words
from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.service.requirements import pinned
from paretune.search.deliver.target import TARGETS, ExportSettings, TargetRecord
from paretune.search.deliver.targets.mlflow_model import provider_words
from paretune.spaces import SpaceError, StudyError

OVMS_MODEL_KEYS = {
    "name": str,
    "base_path": str,
    "batch_size": int,
    "layout": dict,
    "nireq": int,
    "target_device": str,
    "plugin_config": dict,
}
"""Keys of a model in config.json and their types (openvinotoolkit/model_server: src/schema.cpp)."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def export(bundle: Path, target: str, out: Path, **settings: Any) -> Path:
    return export_bundle(bundle, TARGETS.get(target), out, ExportSettings("", **settings)).main


def figures(folder: Path) -> dict[str, Any]:
    """Return the constants of an exported module that are literals."""
    found = {}
    for node in ast.parse((folder / "figures.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


ASK = """
import json, sys
import numpy as np
from measured_model import METADATA, MeasuredModel
samples, axis, sizes = np.load(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
model = MeasuredModel()
parts = np.split(samples[: sum(sizes)], np.cumsum(sizes)[:-1])
requests = [{"inputs": {"input": np.moveaxis(part, 0, axis).tolist()}} for part in parts]
answers = model.answer(requests)
rows = [np.moveaxis(np.array(each["outputs"]["output"], np.float32), axis, 0) for each in answers]
assert [len(each) for each in rows] == sizes
try:
    model.answer([{"inputs": {"inptu": [[0.0] * 4]}}])
except ValueError as error:
    print(error)
np.save(sys.argv[4], np.concatenate(rows))
print(json.dumps(METADATA))
"""


@pytest.mark.parametrize(
    ("changes", "sizes", "fixed"),
    [
        ({}, [1, 3, 2], None),
        ({"axis": 1}, [2, 1], None),
        ({"scaled": True}, [1, 1, 5], None),
        ({"batch": 5}, [1, 3, 7], 5),
        ({"runtime": "openvino"}, [1, 3, 7], 4),
        ({"runtime": "openvino", "scaled": True, "axis": 1}, [6, 1], 4),
    ],
)
def test_the_exported_session_answers_as_the_picked_file(
    tmp_path: Path, changes: dict[str, Any], sizes: list[int], fixed: int | None
) -> None:
    bundle, out = write_bundle(tmp_path / "bundle", **changes), tmp_path / "out"
    export(bundle, "litserve", out)
    assert figures(out)["FIXED_BATCH"] == fixed
    got, axis = tmp_path / "got.npy", str(changes.get("axis", 0))
    words = [bundle / "inputs.npy", axis, json.dumps(sizes), got]
    command = [sys.executable, "-c", ASK, *map(str, words)]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = np.load(bundle / "outputs.npy")[: sum(sizes)]
    np.testing.assert_allclose(np.load(got), expected, rtol=1e-4, atol=1e-5)
    wrong, metadata = done.stdout.splitlines()
    assert "the model has the inputs ['input'" in wrong and "inptu" in wrong
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    told = json.loads(metadata)
    assert told["model_sha256"] == manifest["model"]["sha256"]
    assert told["provider"] == manifest["run"]["execution_provider"] == told["providers"][0]
    assert told["threads"] == 1


def test_names_of_another_format_go_by_their_order(bundle: Path) -> None:
    point = ServicePoint.of_bundle(bundle, ExportSettings("toy"))
    assert (point.input_axes, point.output_axes) == ({"input": 0}, {"output": 0})
    point.manifest["model"]["outputs"] += [{"name": "aside", "type": "float", "shape": [3]}]
    point.manifest["layout"] |= {
        "inputs": {"pixel_values": 1},
        "outputs": {"output": 0},
        "constants": {"built_in": {"dtype": "float32", "value": 1.0}},
    }
    again = ServicePoint(point.bundle, point.manifest, None, point.settings)
    assert (again.input_axes, again.output_axes) == ({"input": 1}, {"output": 0})
    # What is not judged says nothing of the batch, and a constant of the file is no input.
    assert again.constants == {} and again.fixed_batch == 4 and again.has_batch_axis


def test_a_service_does_not_start_on_another_provider(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", execution_provider="DmlExecutionProvider")
    export(bundle, "litserve", tmp_path / "out")
    code = "import model_session; model_session.load()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode != 0
    assert "measured on DmlExecutionProvider, but runs on CPUExecutionProvider" in done.stderr


@pytest.mark.parametrize("target", ["litserve", "bentoml", "rayserve", "mlserver"])
def test_python_services_have_the_figures_of_the_plan(
    bundle: Path, tmp_path: Path, target: str
) -> None:
    out = tmp_path / "out"
    main = export(bundle, target, out)
    found = figures(out)
    assert (found["INSTANCES"], found["MAX_BATCH"], found["QUEUE_DELAY_S"]) == (1, 4, 0.0)
    assert "paretune capacity" in (out / "figures.py").read_text("utf-8")
    write_plan(bundle, threads=3)
    assert export(bundle, target, out) == main
    found = figures(out)
    assert (found["INSTANCES"], found["THREADS"]) == (2, 3)
    assert (found["MAX_BATCH"], found["QUEUE_DELAY_S"]) == (8, 0.003)
    assert (found["PROVIDERS"], found["GRAPH_LEVEL"]) == ([("CPUExecutionProvider", {})], 2)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    requirements = (out / "requirements.txt").read_text("utf-8").split()
    for package in ("onnxruntime", "numpy"):
        assert f"{package}=={manifest['environment'][package]}" in requirements
    for file in out.glob("*.py"):
        compile(file.read_text("utf-8"), str(file), "exec")


def test_another_build_of_the_runtime_is_pinned_to_the_measured_version(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", execution_provider="CUDAExecutionProvider")
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["environment"] |= {"onnxruntime": "1.31.1", "openvino": "2026.4.1-22085-abc"}
    path.write_text(json.dumps(manifest), "utf-8")

    def found() -> list[str]:
        return pinned(ServicePoint.of_bundle(bundle, ExportSettings("toy")), "server==1")

    assert found()[:2] == ["server==1", "onnxruntime-gpu[cuda,cudnn]==1.31.1"]
    manifest["run"] |= {"runtime": "openvino", "execution_provider": "CPU"}
    path.write_text(json.dumps(manifest), "utf-8")
    assert found() == ["server==1", "openvino==2026.4.1", f"numpy=={np.__version__}"]
    manifest["run"]["requirements"] = ["openvino>=2026", "pillow"]
    path.write_text(json.dumps(manifest), "utf-8")
    assert found()[1:3] == ["openvino==2026.4.1", "pillow"]


def test_threads_of_the_plan_reach_the_providers_options(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", runtime="openvino")
    write_plan(bundle, threads=3)
    export(bundle, "rayserve", tmp_path / "out")
    [(device, options)] = figures(tmp_path / "out")["PROVIDERS"]
    assert device == "CPU" and options["INFERENCE_NUM_THREADS"] == "3"
    assert options["INFERENCE_PRECISION_HINT"] == "f32"


def test_a_python_service_of_another_runtime_is_refused(bundle: Path, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", runtime="pytorch")
    for target in ("litserve", "docker"):
        with pytest.raises(StudyError, match="runs on pytorch: pick another"):
            export(other, target, tmp_path / "out")
    path = bundle / "manifest.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"type": "float"', '"type": "bfloat16"'), "utf-8")
    with pytest.raises(StudyError, match="'input' holds bfloat16, which numpy lacks"):
        export(bundle, "litserve", tmp_path / "out")
    path.write_text(text, "utf-8")
    (bundle / "model.onnx").unlink()
    with pytest.raises(StudyError, match="copy the whole bundle"):
        export(bundle, "litserve", tmp_path / "out")


def test_mlserver_gathers_requests_if_it_can(tmp_path: Path) -> None:
    def settings(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = write_bundle(tmp_path / f"bundle {len(list(tmp_path.iterdir()))}", **changes)
        write_plan(bundle)
        out = tmp_path / "out"
        export(bundle, "mlserver", out, hit_rate=0.5)
        files = [out / "model-settings.json", out / "settings.json"]
        model, server = (json.loads(file.read_text("utf-8")) for file in files)
        return model, server

    model, server = settings()
    assert (model["max_batch_size"], model["max_batch_time"]) == (8, 0.003)
    assert server["parallel_workers"] == 2 and server["cache_enabled"] and model["cache_enabled"]
    assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 4]}]
    for changes in ({"axis": 1}, {"scaled": True}):
        model, _ = settings(**changes)
        assert model["max_batch_size"] == 0
    told = (tmp_path / "out" / "NOTES.md").read_text("utf-8")
    assert "MLServer gathers no requests here" in told


def test_openvino_model_server(tmp_path: Path) -> None:
    bundle, out = write_bundle(tmp_path / "bundle", runtime="openvino", axis=1), tmp_path / "out"
    write_plan(bundle, threads=3)
    config = json.loads(export(bundle, "ovms", out).read_text("utf-8"))
    assert set(config) == {"model_config_list", "monitoring"}
    assert config["monitoring"] == {"metrics": {"enable": True}}
    [entry] = config["model_config_list"]
    model = entry["config"]
    assert set(entry) == {"config"} and set(model) <= set(OVMS_MODEL_KEYS)
    for key, value in model.items():
        assert isinstance(value, OVMS_MODEL_KEYS[key]), key
    assert all(isinstance(v, str | int | bool) for v in model["plugin_config"].values())
    assert (model["nireq"], model["batch_size"], model["layout"]) == (
        2,
        4,
        {"input": "?N", "output": "?N"},
    )
    options = model["plugin_config"]
    # Threads are those of all streams together.
    assert (options["NUM_STREAMS"], options["INFERENCE_NUM_THREADS"]) == (2, 6)
    assert options["INFERENCE_PRECISION_HINT"] == "f32"
    assert (out / model["base_path"] / "1" / "model.onnx").is_file()
    assert "does not hold here" in (out / "NOTES.md").read_text("utf-8")
    with pytest.raises(StudyError, match="measured on onnxruntime: pick another"):
        export(write_bundle(tmp_path / "other"), "ovms", out)


def test_openvino_itself_takes_the_exported_options(tmp_path: Path) -> None:
    import openvino

    bundle, out = write_bundle(tmp_path / "bundle", runtime="openvino"), tmp_path / "out"
    config = json.loads(export(bundle, "ovms", out).read_text("utf-8"))
    model = config["model_config_list"][0]["config"]
    core = openvino.Core()
    read = core.read_model(str(out / model["base_path"] / "1" / "model.onnx"))
    compiled = core.compile_model(read, model["target_device"], model["plugin_config"])
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


def kserve(bundle: Path, out: Path, **settings: Any) -> dict[str, Any]:
    text = export(bundle, "kserve", out, **settings).read_text("utf-8")
    manifest: dict[str, Any] = yaml.safe_load(text)
    return manifest


def check_kubernetes(predictor: dict[str, Any]) -> None:
    """Check a predictor's container and its scaling by the schemas of Kubernetes itself."""
    running = dict(predictor.get("model") or predictor["containers"][0])
    own = ("modelFormat", "runtime", "protocolVersion", "storageUri")
    container = {"name": "kserve-container", "image": "image"}
    container |= {name: value for name, value in running.items() if name not in own}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaler"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "toy"},
            "minReplicas": predictor["minReplicas"],
            "maxReplicas": predictor["maxReplicas"],
            "behavior": predictor["autoScaling"]["behavior"],
        },
    }
    for manifest in ({**pod, "spec": {"containers": [container]}}, scaler):
        version = kubernetes_validate.latest_version()
        kubernetes_validate.validate(manifest, version, strict=True)


def test_kserve_scales_by_the_measured_capacity(bundle: Path, tmp_path: Path) -> None:
    write_plan(bundle, threads=3)
    service = kserve(bundle, tmp_path / "out", rate_per_s=200.0, storage_uri="s3://models/toy")
    assert service["metadata"]["name"] == "toy-study"
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
    predictor = service["spec"]["predictor"]
    check_kubernetes(predictor)
    # 90 requests/s are sure of a replica; twice the rate is the peak.
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (3, 5)
    resources = predictor["model"]["resources"]
    assert resources["requests"] == resources["limits"]
    assert resources["limits"]["cpu"] == "6"
    assert int(resources["limits"]["memory"].removesuffix("Mi")) * 2**20 > 2e8
    assert predictor["model"]["storageUri"] == "s3://models/toy"
    [metric] = predictor["autoScaling"]["metrics"]
    assert float(metric["external"]["target"]["value"]) == pytest.approx(90 / 1.1, rel=1e-3)
    assert 'model="Toy-study"' in metric["external"]["metric"]["query"]
    assert (tmp_path / "out" / "models" / "Toy-study" / "config.pbtxt").is_file()
    probe = predictor["model"]["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] >= 10 * 0.9


def test_kserve_without_a_plan_scales_by_the_processor(bundle: Path, tmp_path: Path) -> None:
    service = kserve(bundle, tmp_path / "out", image="registry.example/toy:1")
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    predictor = service["spec"]["predictor"]
    check_kubernetes(predictor)
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 4)
    assert predictor["containers"][0]["image"] == "registry.example/toy:1"
    text = (tmp_path / "out" / "inferenceservice.yaml").read_text("utf-8")
    assert "# Replicas are added above 60 % of the processor, a guess" in text
    assert "paretune capacity" in text and not (tmp_path / "out" / "models").exists()
    assert predictor["containers"][0]["readinessProbe"]["httpGet"] == {
        "path": "/health",
        "port": 8000,
    }
    service = kserve(bundle, tmp_path / "out", image="toy", server="mlserver")
    check_kubernetes(service["spec"]["predictor"])
    [container] = service["spec"]["predictor"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
    with pytest.raises(StudyError, match="the server must be one of litserve, bentoml"):
        kserve(bundle, tmp_path / "out", image="toy", server="tornado")
    write_plan(bundle, threads=1)
    service = kserve(bundle, tmp_path / "out", image="toy")
    # 90 samples/s at 1 ms per call of 4 keep 2 cores busy for 1 %: the least that is sensible.
    [metric] = service["spec"]["predictor"]["autoScaling"]["metrics"]
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": 30}


@pytest.mark.parametrize("server", [None, "bentoml", "rayserve", "mlserver"])
def test_docker_files_have_the_measured_versions(
    bundle: Path, tmp_path: Path, server: str | None
) -> None:
    from dockerfile_parse import DockerfileParser

    out = tmp_path / "out"
    file = DockerfileParser(str(export(bundle, "docker", out, server=server)))
    assert file.baseimage == "python:3.11.7-slim"
    for step in file.structure:
        if step["instruction"] == "COPY":
            assert (out / step["value"].split()[0]).exists()
    commands = {step["instruction"]: step["value"] for step in file.structure}
    assert json.loads(commands["CMD"])[0] in ("python", "bentoml", "mlserver")
    check = json.loads(commands["HEALTHCHECK"].partition("CMD ")[2])
    compile(check[2], "check", "exec")
    assert commands["EXPOSE"] in check[2]
    services = yaml.safe_load((out / "compose.yaml").read_text("utf-8"))["services"]
    assert len(services) == 1 and "balancer" not in services
    assert services["toy-study-1"]["ports"] == [f"8000:{commands['EXPOSE']}"]


def compose(out: Path) -> dict[str, Any]:
    file = out / "compose.yaml"
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, file], check=True)
    services: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))["services"]
    return services


def test_docker_replicas_have_cores_of_their_own_behind_a_balancer(
    bundle: Path, tmp_path: Path
) -> None:
    import crossplane

    write_plan(bundle)
    out = tmp_path / "out"
    export(bundle, "docker", out, rate_per_s=200.0, hit_rate=0.5)
    services = compose(out)
    names = ["toy-study-1", "toy-study-2", "toy-study-3"]
    assert [services[name]["cpuset"] for name in names] == ["0-1", "2-3", "4-5"]
    assert set(services["balancer"]["depends_on"]) == set(names)
    parsed = crossplane.parse(str(out / "nginx.conf"))
    assert parsed["status"] == "ok", parsed["errors"]
    [http] = [e for e in parsed["config"][0]["parsed"] if e["directive"] == "http"]
    [upstream] = [e for e in http["block"] if e["directive"] == "upstream"]
    assert [e["directive"] for e in upstream["block"]].count("least_conn") == 1
    targets = [e["args"][0] for e in upstream["block"] if e["directive"] == "server"]
    assert targets == [f"{name}:8000" for name in names]
    text = (out / "nginx.conf").read_text("utf-8")
    assert "proxy_cache answers" in text
    export(bundle, "docker", out, rate_per_s=200.0)
    assert "proxy_cache" not in (out / "nginx.conf").read_text("utf-8")


def test_a_card_is_asked_for(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", execution_provider="CUDAExecutionProvider")
    export(bundle, "docker", tmp_path / "docker")
    assert compose(tmp_path / "docker")["toy-study-1"]["gpus"] == "all"
    predictor = kserve(bundle, tmp_path / "kserve")["spec"]["predictor"]
    check_kubernetes(predictor)
    assert predictor["model"]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_mlflow_runs_it_as_measured(bundle: Path, tmp_path: Path) -> None:
    import mlflow

    write_plan(bundle, threads=3)
    main = export(bundle, "mlflow", tmp_path / "out")
    main = export(bundle, "mlflow", tmp_path / "out")  # replaced
    model = mlflow.pyfunc.load_model(str(main.parent))
    session = model.get_raw_model()
    assert session.get_providers() == ["CPUExecutionProvider"]
    options = session.get_session_options()
    assert options.intra_op_num_threads == 3 and options.inter_op_num_threads == 1
    assert options.graph_optimization_level.value == 2
    inputs = np.load(bundle / "inputs.npy")
    found = model.predict(inputs)["output"]
    np.testing.assert_allclose(found, np.load(bundle / "outputs.npy"), rtol=1e-5, atol=1e-6)
    assert "it ran on CPUExecutionProvider" in (tmp_path / "out" / "NOTES.md").read_text("utf-8")


def test_mlflow_is_refused_where_it_would_drop_the_provider(tmp_path: Path) -> None:
    missing = write_bundle(tmp_path / "one", execution_provider="CUDAExecutionProvider")
    export(missing, "mlflow", tmp_path / "out")  # cannot be known here
    told = (tmp_path / "out" / "NOTES.md").read_text("utf-8")
    assert "Not checked: CUDAExecutionProvider is not here" in told
    # A provider that is in the wheel of ONNX Runtime, so MLflow would have had it.
    broken = write_bundle(tmp_path / "two", execution_provider="AzureExecutionProvider")
    point = ServicePoint.of_bundle(broken, ExportSettings("toy"))
    with pytest.raises(StudyError, match="on CPUExecutionProvider of this point, which was"):
        provider_words(point, ["CPUExecutionProvider"])
    other = write_bundle(tmp_path / "three", runtime="openvino")
    with pytest.raises(StudyError, match="measured on openvino: pick another"):
        export(other, "mlflow", tmp_path / "out")


def test_a_setting_that_a_target_does_not_read_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="mlflow does not read hit_rate; it reads rate_per_s"):
        paretune.export(bundle, "mlflow", tmp_path / "out", hit_rate=0.5)


def test_a_rate_needs_a_plan(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"run `paretune capacity .* --max-p99-ms MS` first"):
        export(bundle, "docker", tmp_path / "out", rate_per_s=200.0)
    write_plan(bundle)
    with pytest.raises(StudyError, match="peak rate must be at least the rate"):
        export(bundle, "kserve", tmp_path / "out", rate_per_s=200.0, peak_rate_per_s=100.0)


@pytest.mark.parametrize(
    ("hit_rate", "words"),
    [
        (0.5, ["the p98 of the misses", "0.5 × that of a miss", "= 180 requests/s"]),
        (0.9, ["the p90 of the misses", "0.1 × that of a miss", "= 900 requests/s"]),
        (0.995, ["p99: that of a look-up"]),
        (1.0, ["p99: that of a look-up", "Capacity: that of the cache"]),
        (0.0, ["the p99 of the misses", "= 90 requests/s"]),
    ],
)
def test_what_a_cache_gives(bundle: Path, hit_rate: float, words: list[str]) -> None:
    write_plan(bundle)
    point = ServicePoint.of_bundle(bundle, ExportSettings("toy"))
    told = "\n".join(cache_words(point, hit_rate))
    for each in words:
        assert each in told


def test_the_p99_of_a_cached_service_is_that_quantile_of_the_misses() -> None:
    """The statement of the notes, by simulation: latencies of misses are spread, hits take 0."""
    rng = np.random.default_rng(0)
    misses = rng.exponential(size=400_000)
    for hit_rate in (0.5, 0.9):
        hits = rng.random(misses.size) < hit_rate
        overall = np.quantile(np.where(hits, 0.0, misses), 0.99)
        expected = np.quantile(misses, 1 - 0.01 / (1 - hit_rate))
        assert overall == pytest.approx(expected, rel=0.03)


def test_records_of_others_still_get_the_name_alone(bundle: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    def write(source: Path, out: Path, name: str) -> Path:
        seen.append((source, out, name))
        return out

    record = TargetRecord("other", "a test", write)
    done = export_bundle(bundle, record, tmp_path / "out", ExportSettings(""), "mine")
    assert seen == [(bundle, tmp_path / "out", "mine")] and done.main == tmp_path / "out"
    assert record.unread(ExportSettings("", image="x", rate_per_s=1.0)) == ["rate_per_s", "image"]


@pytest.mark.slow
def test_the_command_exports_a_picked_point(
    searched_iris: Path, tmp_path: Path, bundle: Path
) -> None:
    study, picked = copy_study(searched_iris, tmp_path / "study"), tmp_path / "picked"
    done = run_paretune("pick", study, "--no-measure", "--out", picked)
    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "out"
    done = run_paretune("export", picked, "--target", "litserve", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"wrote {out / 'server.py'}" in done.stdout
    assert "there is no serving plan; run `paretune capacity" in done.stdout
    manifest = json.loads((picked / "manifest.json").read_text("utf-8"))
    found = figures(out)
    assert found["MAX_BATCH"] == manifest["run"]["batch_size"]
    assert found["TRIAL"] == manifest["trial"]
    done = run_paretune("export", picked, "--target", "ovms", "--image", "x", "--out", out)
    assert done.returncode == 2
    assert "--target ovms does not read --image; these do: kserve, docker" in done.stderr
    done = run_paretune("export", tmp_path, "--target", "triton", "--out", out)
    assert done.returncode == 1 and "name a folder that `paretune pick --out` wrote" in done.stderr
    manifest["manifest_version"] = 99
    (picked / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    done = run_paretune("export", picked, "--target", "triton", "--out", out)
    assert done.returncode == 1 and "manifest version 99" in done.stderr


def test_every_target_says_how_to_go_on_and_to_check(tmp_path: Path) -> None:
    plain, openvino = write_bundle(tmp_path / "a"), write_bundle(tmp_path / "b", runtime="openvino")
    for record in TARGETS:
        if record.settings is None:
            continue
        bundle = openvino if record.name == "ovms" else plain
        settings = ExportSettings("")
        if "hit_rate" in record.settings:
            settings = replace(settings, hit_rate=0.9)
        if record.name in ("prometheus", "grafana"):
            continue  # they look at another target's service
        out = tmp_path / record.name
        done = export_bundle(bundle, record, out, settings)
        assert str(out) in done.hint
        told = "\n".join(file.read_text("utf-8") for file in out.rglob("NOTES.md"))
        assert "paretune verify BUNDLE --url" in told and "latency_p95_ms: 2" in told
        assert "least connections" in told
        assert ("## Cache of answers" in told) == ("hit_rate" in record.settings)
