"""Exported services in their real servers, each in an environment of its own: they answer."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from conftest import wait_until
from served_bundles import SAMPLES, WIDTH, write_bundle, write_plan

from paretune.runners.runtimes.interpreter import interpreter
from paretune.search.deliver.export import export_bundle
from paretune.search.deliver.target import TARGETS, ExportSettings
from paretune.spaces import ParetuneError

pytestmark = pytest.mark.slow
KSERVE = ["kserve==0.21.0", "kubernetes<34"]
"""The client, and what its generated models still fit."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = write_bundle(tmp_path / "bundle")
    write_plan(folder)
    return folder


def environment(requirements: Sequence[str]) -> Path:
    """Return the Python of an environment with these packages; skip where no index has them."""
    try:
        return interpreter(requirements)
    except ParetuneError as error:
        if "No matching distribution found" in str(error):
            pytest.skip(f"pip finds no {', '.join(requirements)}")
        raise


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def asked(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@contextmanager
def served(
    command: Sequence[Any], folder: Path, ready: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until it has been asked; wait until ``ready`` answers."""
    path = f"{Path(str(command[0])).parent}{os.pathsep}{os.environ['PATH']}"
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, "PATH": path, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:

        def is_up() -> bool:
            assert server.poll() is None, log.read_text("utf-8")[-3000:]
            try:
                with urllib.request.urlopen(ready, timeout=10):
                    return True
            except (urllib.error.URLError, OSError):
                return False

        wait_until(is_up, 120)
        yield server
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(server.pid, number)
                server.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def exported(bundle: Path, target: str, out: Path, **settings: Any) -> list[str]:
    """Export a bundle, and return the requirements of the service."""
    export_bundle(bundle, TARGETS.get(target), out, ExportSettings("", **settings), "toy")
    file = out / "requirements.txt"
    return file.read_text("utf-8").split() if file.is_file() else []


def check_answers(bundle: Path, ask: Any) -> None:
    """Ask for each sample alone, many at once, and for several together."""
    samples, answers = np.load(bundle / "inputs.npy"), np.load(bundle / "outputs.npy")
    parts = [slice(place, place + 1) for place in range(SAMPLES)] * 2 + [slice(0, 3), slice(3, 20)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: ask(samples[part]), parts))
    for part, answer in zip(parts, found, strict=True):
        np.testing.assert_allclose(answer, answers[part], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "command", "ready"),
    [
        ("litserve", ["python", "server.py", "{port}"], "health"),
        ("bentoml", ["bentoml", "serve", "server:Service", "--port", "{port}"], "readyz"),
        ("rayserve", ["python", "server.py", "{port}"], "health"),
    ],
)
def test_a_json_service_answers_as_the_picked_file(
    bundle: Path, tmp_path: Path, target: str, command: list[str], ready: str
) -> None:
    out = tmp_path / "out"
    python, port = environment(exported(bundle, target, out)), free_port()
    words = [each.format(port=port) for each in command]
    url = f"http://127.0.0.1:{port}"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "BENTOML_DO_NOT_TRACK": "True"}
    own = {"BENTOML_HOME": str(tmp_path / "home")}
    with served([python.parent / words[0], *words[1:]], out, f"{url}/{ready}", **quiet, **own):

        def ask(samples: np.ndarray) -> Any:
            answer = asked(f"{url}/predict", {"inputs": {"input": samples.tolist()}})
            return answer["outputs"]["output"]

        check_answers(bundle, ask)
        told = asked(f"{url}/metadata")
    assert (told["provider"], told["threads"], told["instances"]) == ("CPUExecutionProvider", 1, 2)


def test_litserve_ends_its_workers_and_has_nothing_to_warn_of(bundle: Path, tmp_path: Path) -> None:
    write_plan(bundle, max_batch=1)
    out = tmp_path / "out"
    python, port = environment(exported(bundle, "litserve", out)), free_port()
    url = f"http://127.0.0.1:{port}"
    with served([python, "server.py", port], out, f"{url}/health") as server:
        workers = psutil.Process(server.pid).children(recursive=True)
        assert any(each.is_running() for each in workers)

        def ask(samples: np.ndarray) -> Any:
            return asked(f"{url}/predict", {"inputs": {"input": samples.tolist()}})["outputs"][
                "output"
            ]

        check_answers(bundle, ask)
        server.terminate()  # as `docker stop` does: the process alone, not its group
        server.wait(30)
        _, left = psutil.wait_procs(workers, 10)
        assert not left
    log = (out / "server.log").read_text("utf-8")
    assert "max_batch_size" not in log and "Traceback" not in log, log


GRPC = """
import sys
import numpy as np
import tritonclient.grpc as grpc
samples, answers = (np.load(f"{sys.argv[1]}/{name}puts.npy") for name in ("in", "out"))
tensor = grpc.InferInput("input", samples.shape, "FP32")
tensor.set_data_from_numpy(samples)
found = grpc.InferenceServerClient(sys.argv[2]).infer("toy", [tensor]).as_numpy("output")
np.testing.assert_allclose(found, answers, rtol=1e-4, atol=1e-5)
print("the same")
"""


def test_mlserver_answers_as_the_picked_file(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    python, port = environment(exported(bundle, "mlserver", out, hit_rate=0.5)), free_port()
    url = f"http://127.0.0.1:{port}/v2/models/toy"
    check = (
        "from mlserver.settings import ModelSettings, Settings; import json;"
        "m = ModelSettings.parse_file('model-settings.json');"
        "s = Settings(**json.load(open('settings.json')));"
        "unknown = {*json.load(open('settings.json'))} - {*Settings.model_fields};"
        "unknown |= {*json.load(open('model-settings.json'))} - {*ModelSettings.model_fields};"
        "print(m.max_batch_size, m.max_batch_time, s.parallel_workers, s.cache_enabled, unknown)"
    )
    done = subprocess.run([python, "-c", check], cwd=out, capture_output=True, text=True)
    assert done.stdout.split(maxsplit=4)[:4] == ["8", "0.003", "2", "True"], done.stderr
    assert done.stdout.rstrip().endswith("{'implementation'}")  # which it reads by an alias
    grpc, metrics = free_port(), free_port()
    ports = {"MLSERVER_GRPC_PORT": str(grpc), "MLSERVER_METRICS_PORT": str(metrics)}
    ports["MLSERVER_HTTP_PORT"] = str(port)
    with served([python.parent / "mlserver", "start", "."], out, f"{url}/ready", **ports):

        def ask(samples: np.ndarray) -> np.ndarray:
            tensor = {"name": "input", "shape": samples.shape, "datatype": "FP32"}
            body = {"inputs": [{**tensor, "data": samples.ravel().tolist()}]}
            [output] = asked(f"{url}/infer", body)["outputs"]
            return np.array(output["data"]).reshape(output["shape"])

        def misses() -> int:
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
                lines = answer.read().decode().splitlines()
            [count] = [e for e in lines if e.startswith("batch_request_queue_count")]
            return int(float(count.split()[-1]))

        for _ in range(5):
            ask(np.ones((1, WIDTH)))
        assert misses() == 1  # the others were answered by the cache
        check_answers(bundle, ask)
        words = [str(bundle), f"127.0.0.1:{grpc}"]
        done = subprocess.run([python, "-c", GRPC, *words], capture_output=True, text=True)
        assert done.stdout == "the same\n", done.stderr
        metadata = asked(url)
    assert metadata["inputs"][0]["shape"] == [-1, 4] and metadata["platform"] == "onnxruntime"


def test_mlflow_answers_as_the_picked_file(bundle: Path, tmp_path: Path) -> None:
    out, port = tmp_path / "out", free_port()
    exported(bundle, "mlflow", out)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "model"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with served(command, out, f"{url}/ping"):

        def ask(samples: np.ndarray) -> Any:
            answer = asked(f"{url}/invocations", {"inputs": samples.tolist()})["predictions"]
            return answer["output"] if isinstance(answer, dict) else answer

        check_answers(bundle, ask)


CLIENT = """
import json, sys
from kserve import models
from kubernetes import client

def check(value, kind, where):
    if kind.startswith("list["):
        for each in value:
            check(each, kind[5:-1], where)
    elif kind.startswith("dict("):
        for key, each in value.items():
            check(each, kind[5:-1].split(", ", 1)[1], f"{where}.{key}")
    elif kind in ("int", "str", "bool", "float"):
        assert type(value).__name__ == kind, (where, kind, value)
    elif kind not in ("object", "V1beta1MetricQuantity"):
        name = kind.replace("K8sIoApiAutoscalingV2", "V2")
        known = getattr(models, name, None) or getattr(client, name)
        fields = {key: name for name, key in known.attribute_map.items()}
        for key, each in value.items():
            assert key in fields, f"{where} has no {key}; it has {sorted(fields)}"
            check(each, known.openapi_types[fields[key]], f"{where}.{key}")
        known(**{fields[key]: each for key, each in value.items()})

for line in sys.stdin:
    check(json.loads(line), "V1beta1InferenceService", "InferenceService")
    print("ok")
"""


def test_kserves_own_client_knows_every_field(bundle: Path, tmp_path: Path) -> None:
    services = []
    for settings in ({"rate_per_s": 200.0, "hit_rate": 0.5}, {"image": "toy:1"}):
        exported(bundle, "kserve", tmp_path / "out", **settings)
        text = (tmp_path / "out" / "inferenceservice.yaml").read_text("utf-8")
        services.append(yaml.safe_load(text))
    command = [environment(KSERVE), "-c", CLIENT]

    def checked(values: list[Any]) -> subprocess.CompletedProcess[str]:
        lines = "\n".join(map(json.dumps, values))
        return subprocess.run(command, input=lines, capture_output=True, text=True)

    done = checked(services)
    assert done.stdout.split() == ["ok", "ok"], done.stderr
    services[0]["spec"]["predictor"]["minReplica"] = 1
    assert "has no minReplica" in checked(services[:1]).stderr
