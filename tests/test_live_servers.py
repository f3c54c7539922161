"""Real servers in environments of their own: verified untouched, swapped, beside a hog, at a rate.

The server has one core, and the client another.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
from conftest import wait_until
from onnx import numpy_helper
from served_bundles import write_bundle

from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.store.artifact import file_digest
from paretune.search.deliver.export import export_bundle
from paretune.search.deliver.live.live_settings import LiveSettings
from paretune.search.deliver.live.live_verification import LiveVerification, LiveWish
from paretune.search.deliver.live.service import Endpoint
from paretune.search.deliver.live.service_check import verify_service
from paretune.search.deliver.target import TARGETS, ExportSettings
from paretune.search.deliver.verification import Verdict
from paretune.spaces import ParetuneError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="server and client need two cores"),
]
SETTINGS = LiveSettings(connections=5, warmup_seconds=1.0, min_seconds=0.5, pause_seconds=10.0)
FEWER = replace(SETTINGS, min_calls=40, min_seconds=0.1)  # which suffice for a p95
LAYERS = 24
"""Of the model: it works longer than a scheduler lets a woken process go first."""

HOGS = 4
"""Busy processes beside a server: each gets as much of the core as the server may."""


@dataclass(frozen=True)
class Kind:
    """A server of an exported bundle.

    Attributes:
        target: What `paretune export` is asked for.
        protocol: How it is verified.
        health: The path that answers when it is ready.
        tells: Whether it names the provider.
        rate_per_s: A rate that it holds with ease on one core.
    """

    target: str
    protocol: str
    health: str
    tells: bool
    rate_per_s: float

    def __str__(self) -> str:
        return f"{self.target}-{self.protocol}"


KINDS = (
    Kind("mlserver", "v2", "/v2/health/ready", True, 8.0),
    Kind("mlserver", "v2-grpc", "/v2/health/ready", True, 8.0),
    Kind("mlflow", "mlflow", "/ping", False, 8.0),
    Kind("litserve", "json", "/health", True, 8.0),
)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running(
    command: Sequence[str], core: int, log: Path, folder: Path, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server and its children on one core; yield its process."""
    with log.open("w") as out:
        server = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **env, "PYTHONPATH": ""},
        )
    try:
        yield server
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(server.pid, sign)
                server.wait(20)


@contextmanager
def serving(kind: Kind, bundle: Path, folder: Path, core: int) -> Iterator[Endpoint]:
    """Export a bundle, serve it in an environment of its own, and yield where."""
    out = folder / kind.target
    export_bundle(bundle, TARGETS.get(kind.target), out, ExportSettings("toy"))
    http, grpc, metrics = free_ports(3)
    environment: dict[str, str] = {}
    if kind.target == "mlflow":
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(out / "model")]
        command += ["--env-manager", "local", "--port", str(http)]
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment["MLFLOW_TRACKING_URI"] = (folder / "mlruns").as_uri()
    else:
        python = environment_of((out / "requirements.txt").read_text("utf-8").split())
        if kind.target == "mlserver":
            path = out / "settings.json"
            settings = json.loads(path.read_text("utf-8"))
            settings |= {"http_port": http, "grpc_port": grpc, "metrics_port": metrics}
            settings["host"] = "127.0.0.1"
            path.write_text(json.dumps(settings), "utf-8")
            command = [str(python.parent / "mlserver"), "start", str(out)]
        else:
            command = [str(python), str(out / "server.py"), str(http)]
    log = folder / "server.log"
    with running(command, core, log, folder, **environment) as server:

        def is_ready() -> bool:
            assert server.poll() is None, log.read_text("utf-8")[-3000:]
            try:
                url = f"http://127.0.0.1:{http}{kind.health}"
                return urllib.request.urlopen(url, timeout=2).status == 200
            except OSError:
                return False

        try:
            wait_until(is_ready, 240)
        except AssertionError as error:
            raise AssertionError(log.read_text("utf-8")[-3000:]) from error
        scheme, port = ("grpc", grpc) if kind.protocol == "v2-grpc" else ("http", http)
        metrics_url = f"http://127.0.0.1:{metrics}" if kind.target == "mlserver" else ""
        yield Endpoint(f"{scheme}://127.0.0.1:{port}", metrics_url=metrics_url)


def environment_of(requirements: list[str]) -> Path:
    """Return the Python of a server's environment; skip if pip cannot find a package of it."""
    try:
        return interpreter(requirements)
    except ParetuneError as error:
        if "No matching distribution" in str(error) or "Could not find a version" in str(error):
            pytest.skip(f"no package index has {', '.join(requirements)}")
        raise


@pytest.fixture
def cores() -> Iterator[tuple[int, int]]:
    """The client's core, on which this process is, and the server's."""
    before = os.sched_getaffinity(0)
    client, server = sorted(before)[:2]
    os.sched_setaffinity(0, {client})
    yield client, server
    os.sched_setaffinity(0, before)


@contextmanager
def hogs(core: int) -> Iterator[None]:
    command = ["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(HOGS)]
    try:
        yield
    finally:
        for each in processes:
            each.kill()
            each.wait()


def verify(
    bundle: Path,
    endpoint: Endpoint,
    kind: Kind,
    wish: LiveWish | None = None,
    settings: LiveSettings = SETTINGS,
) -> LiveVerification:
    """Verify; again if this machine was too busy to tell."""
    for _ in range(3):
        found = verify_service(bundle, endpoint, kind.protocol, wish, settings)
        if found.verdict is not Verdict.CANNOT_TELL:
            break
    print(f"{kind}: {found.verdict.words}: {found.reason}")
    return found


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_real_server(kind: Kind, tmp_path: Path, cores: tuple[int, int]) -> None:
    if kind.protocol == "v2-grpc":
        pytest.importorskip("grpc", reason="grpcio is missing: pip install 'paretune[live]'")
    bundle = write_bundle(tmp_path / "bundle", layers=LAYERS)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    # The toy's own time is not measured: no server is faster than this.
    manifest["metrics"]["latency_p50_ms"] = {"value": 1e-3, "low": 1e-3, "high": 1e-3}
    (bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    _, core = cores
    with serving(kind, bundle, tmp_path / "served", core) as endpoint:
        first = verify(bundle, endpoint, kind, LiveWish(saves=True))
        assert first.verdict is Verdict.AS_PROMISED and first.saved, first
        assert all(check.is_equal for check in first.answers)
        told = first.provenance and first.provenance.provider
        assert told == ("CPUExecutionProvider" if kind.tells else None)
        untouched = verify(bundle, endpoint, kind)
        assert untouched.verdict is Verdict.AS_PROMISED, untouched.reason
        assert untouched.record is not None
        # A budget of twice the p99 of one client, which leaves room for requests that meet.
        p99 = untouched.clients[0].latency(99)
        assert p99 is not None
        wish = LiveWish(kind.rate_per_s, max_latency_ms=max(20.0, 2 * p99.ends[1]), seconds=40)
        held = verify(bundle, endpoint, kind, wish)
        assert held.verdict is Verdict.AS_PROMISED, held.reason
        assert held.load is not None and held.load.failed == 0
        assert held.load.latency(99).ends[0] <= wish.max_latency_ms
        with hogs(core):
            slower = verify(bundle, endpoint, kind, settings=FEWER)
        assert slower.verdict is Verdict.SLOWER, slower.reason
    swapped = Path(shutil.copytree(bundle, tmp_path / "swapped"))
    change_weights(swapped)
    with serving(kind, swapped, tmp_path / "served again", core) as endpoint:
        found = verify(bundle, endpoint, kind)
    assert found.verdict is Verdict.DIFFERENT_ANSWERS, found.reason


def change_weights(bundle: Path) -> None:
    """Put another model of the same shape into a bundle."""
    path = bundle / "model.onnx"
    model = onnx.load(path)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(1.05 * weight, "weight"))
    onnx.save(model, path)
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    manifest["model"]["sha256"] = file_digest(path)
    (bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
