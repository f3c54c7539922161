"""The picked file in MLflow's model registry: the served model is the picked one."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import copy_study, run_paretune, wait_until

from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.review.mlflow.logged_model import register_model
from paretune.search.review.mlflow.metric_names import plain_name


@pytest.fixture(scope="module")
def registered(searched_iris: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The registry's URI and the bundle of the point that was registered."""
    out = tmp_path_factory.mktemp("picked")
    study = copy_study(searched_iris, tmp_path_factory.mktemp("registry") / "study")
    wish = ("--no-measure", "--out", out, "--triton", out / "repository")
    for _ in range(2):
        done = run_paretune("pick", study, *wish, "--register", "iris", "--alias", "champion")
        assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"registered iris version 1 in (.+); serve it: ", done.stdout)
    assert found, done.stdout
    assert (out / "repository" / "iris" / "config.pbtxt").is_file()
    return found[1], out


def answers(bundle: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, and the picked file's outputs for them."""
    inputs = np.load(bundle / "inputs.npy")[:5]
    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    return inputs, session.run(None, {session.get_inputs()[0].name: inputs})[0]


def test_registering_twice_keeps_one_version(registered: tuple[str, Path]) -> None:
    uri, _ = registered
    versions = mlflow_client(uri).search_model_versions("name = 'iris'")
    assert [version.version for version in versions] == [1]


def test_registering_leaves_the_study_ended(registered: tuple[str, Path]) -> None:
    client = mlflow_client(registered[0])
    experiment = client.get_experiment_by_name("iris")
    found = client.search_runs([experiment.experiment_id], "tags.`paretune.role` = 'study'")
    assert [run.info.status for run in found] == ["FINISHED"]


def test_the_registered_model_is_a_logged_model_of_its_trial(registered: tuple[str, Path]) -> None:
    uri, bundle = registered
    client = mlflow_client(uri)
    version = client.get_model_version_by_alias("iris", "champion")
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    run = client.get_run(version.run_id)
    assert run.data.tags["paretune.trial"] == str(manifest["trial"])
    assert [m.model_id for m in run.outputs.model_outputs] == [version.tags["paretune.model_id"]]
    model = client.get_logged_model(version.tags["paretune.model_id"])
    assert model.tags["artifact"] == manifest["model"]["artifact"]
    fresh = {plain_name(metric.key): metric.value for metric in model.metrics}
    name = "latency_p95_ms"
    assert fresh[f"confirmed_{name}"] == pytest.approx(manifest["metrics"][name]["value"])


def test_every_published_point_has_its_model_and_histogram(registered: tuple[str, Path]) -> None:
    client = mlflow_client(registered[0])
    experiment = client.get_experiment_by_name("iris")
    runs = client.search_runs([experiment.experiment_id], "tags.published = 'true'")
    assert runs
    for run in runs:
        assert len(run.outputs.model_outputs) == 1
        assert "latency.png" in [file.path for file in client.list_artifacts(run.info.run_id)]


def test_loaded_by_mlflow_it_answers_as_the_picked_file(registered: tuple[str, Path]) -> None:
    uri, bundle = registered
    inputs, outputs = answers(bundle)
    script = (
        "import sys, numpy as np, mlflow; mlflow.set_tracking_uri(sys.argv[1]);"
        "m = mlflow.pyfunc.load_model('models:/iris@champion');"
        "o = m.predict(np.load(sys.argv[2]));"
        "np.save(sys.argv[3], o if not isinstance(o, dict) else next(iter(o.values())))"
    )
    given, got = bundle / "five.npy", bundle / "got.npy"
    np.save(given, inputs)
    subprocess.run([sys.executable, "-c", script, uri, given, got], check=True)
    np.testing.assert_allclose(np.load(got), outputs, rtol=1e-5, atol=1e-6)


def test_a_name_is_found_in_a_registry_of_more_than_a_page(registered: tuple[str, Path]) -> None:
    uri, _ = registered
    client = mlflow_client(uri)
    [version] = client.search_model_versions("name = 'iris'")
    for number in range(100):  # before "iris": a page has a hundred
        client.create_registered_model(f"a model {number}")
    assert "iris" not in {model.name for model in client.search_registered_models()}
    model = version.tags["paretune.model_id"]
    assert register_model(client, model, version.run_id, "iris", "challenger") == "1"
    assert [v.version for v in client.search_model_versions("name = 'iris'")] == [1]


def test_an_alias_without_a_name_is_refused(iris_study: Path) -> None:
    done = run_paretune("pick", iris_study, "--alias", "champion")
    assert done.returncode == 2 and "needs --register NAME" in done.stderr


@pytest.mark.slow
def test_served_on_loopback_it_answers_as_the_picked_file(registered: tuple[str, Path]) -> None:
    uri, bundle = registered
    inputs, outputs = answers(bundle)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it runs uvicorn
    command = ["mlflow", "models", "serve", "-m", "models:/iris@champion", "--env-manager", "local"]
    server = subprocess.Popen(
        [sys.executable, "-m", *command, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path},
    )
    try:
        address = f"http://127.0.0.1:{port}"

        def is_up() -> bool:
            assert server.poll() is None
            try:
                with urllib.request.urlopen(f"{address}/ping", timeout=5):
                    return True
            except OSError:
                return False

        wait_until(is_up, 120)
        request = urllib.request.Request(
            f"{address}/invocations",
            json.dumps({"inputs": inputs.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            predictions = json.load(answer)["predictions"]
    finally:
        server.terminate()
        server.wait(30)
    if isinstance(predictions, dict):
        predictions = next(iter(predictions.values()))
    np.testing.assert_allclose(np.array(predictions), outputs, rtol=1e-5, atol=1e-6)
