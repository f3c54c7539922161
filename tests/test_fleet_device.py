"""A host that only measures: it needs neither the workload nor what builds, and others judge."""

import os
import pickle
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import QUICK, TESTS, TINY_SPACE, run_paretune, run_python, wait_until, write_study
from onnx_models import by_hand
from test_fleet import assigned, host, own_hosts, scheduler

from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import BUILD
from paretune.runners.execute.job import Build, Measure
from paretune.runners.execute.local_executor import LocalExecutor
from paretune.runners.execute.no_builds import NoBuilds
from paretune.runners.failure import Failure
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.device.evaluator_setup import EvaluatorSetup
from paretune.runners.fleet.device.host_versions import (
    ANNOUNCED,
    own_versions,
    refuse_to_join_others,
)
from paretune.runners.fleet.device.measuring_studies import MeasuringStudies, refuse_new_versions
from paretune.runners.fleet.device.outputs_file import stored, unpacked
from paretune.runners.fleet.device.remote_judge import RemoteJudge
from paretune.runners.fleet.fleet import Fleet, connected
from paretune.runners.fleet.fleet_host import FleetHost
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.runner_setup import RunnerSetup
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.open_study import OpenStudy, load_history
from paretune.spaces import BuildSpec, RunSpec, StoreError, StudyError

distributed = pytest.importorskip("distributed", reason="the extra `fleet` is not installed")

ROOT = TESTS.parent
RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)
SETUP = RunnerSetup("onnxruntime", "onnxruntime", providers=("CPUExecutionProvider",))
ARGUMENTS = (StoredSamples("validation", ("none",)), ["logits"], 10)


ALONE = {"PYTHONPATH": ""}
"""A host that finds what is installed for it, and nothing of this tree."""

BEGUN, END = threading.Event(), threading.Event()


def endless_build(number: int) -> None:
    BEGUN.set()
    END.wait(60)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "results" / "store")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A folder of outputs, as a launch writes it."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "names.json").write_text('["logits"]', "utf-8")
    np.save(folder / "0.npy", np.eye(3, dtype=np.float32))
    return folder


@pytest.fixture
def assignment(tmp_path: Path, store: ArtifactStore) -> Assignment:
    return assigned(tmp_path / "study.yaml")


def never(*_: Any) -> Any:
    raise AssertionError("this host was not to be asked")


def test_an_evaluator_from_plain_data_measures_as_the_first_one(
    tmp_path: Path, rng: np.random.Generator, store: ArtifactStore
) -> None:
    model = tmp_path / "model.onnx"
    np.save(tmp_path / "inputs.npy", by_hand(model, rng)["input"])
    samples = StoredSamples("validation", (store.put(tmp_path / "inputs.npy"),))
    told: list[list[Path]] = []

    def judge(outputs: Path, *_: object) -> Judged:
        told.append(sorted(outputs.iterdir()))
        return Judged({"accuracy": 0.5})

    first = Evaluator(
        {"onnxruntime": SETUP.runner(tmp_path)},
        {"onnxruntime": {"onnxruntime": "1"}},
        store,
        quality_metric="accuracy",
        fingerprint="workload",
        judging="judging",
        samples=samples,
        folder=tmp_path,
        judge=never,
        settings=MeasurementSettings(**QUICK),
        setups=[SETUP],
    )
    given = Assignment(
        tmp_path / "study.yaml",
        first.settings,
        samples,
        "building",
        EvaluatorSetup.of(first),
        str(store.root),
    )
    travelled = pickle.loads(pickle.dumps(given))
    assert travelled == given and travelled.key == given.key
    second = travelled.evaluator(judge, measures=True, judges_here=False)
    executor = LocalExecutor(NoBuilds(), second)
    here, there = LocalExecutor(NoBuilds(), first).site(RUN), executor.site(RUN)
    assert here == there
    future = executor.submit(Measure(store.put(model), RUN, samples), there.device)
    executor.wait()
    measured = future.result().value
    assert isinstance(measured, Measurement), measured
    assert measured.statistics["accuracy"].value == 0.5
    assert measured.statistics["latency_p50_ms"].value > 0
    assert [each.name for each in told[0]] == ["0.npy", "names.json"]


def test_a_host_that_only_measures_builds_nothing(assignment: Assignment) -> None:
    executor = LocalExecutor(NoBuilds(), assignment.evaluator(never, measures=True))
    assert executor.capacity(BUILD) == 0
    with pytest.raises(ValueError, match="a Build cannot be done in a slot 'build'"):
        executor.submit(Build(BuildSpec("reference", 0.0, "fp32")), BUILD)


def test_a_host_without_the_store_says_where_it_looked(tmp_path: Path) -> None:
    missing = assigned(tmp_path / "study.yaml")
    board = FleetHost(MeasuringStudies("tcp://127.0.0.1:1", "board").executor, "board")
    with pytest.raises(StoreError, match=f"has no {missing.store}: the folders of the study"):
        board.site(missing, RUN)


def test_outputs_travel_through_the_store_and_leave_it(store: ArtifactStore, outputs: Path) -> None:
    with stored(outputs, store) as one, stored(outputs, store) as other:
        assert one != other  # the end of one judgement leaves the other's
        with unpacked(one, store) as folder:
            assert {each.name: each.read_bytes() for each in folder.iterdir()} == {
                each.name: each.read_bytes() for each in outputs.iterdir()
            }
    assert not store.names()
    with pytest.raises(StoreError, match=f"the outputs {one[:12]}… that a device computed"):
        unpacked(one, store).__enter__()


def test_a_host_that_builds_judges_and_it_waits_for_no_build(
    assignment: Assignment, outputs: Path, store: ArtifactStore
) -> None:
    def judge(given: Assignment, name: str, *rest: Any) -> Judged:
        assert given == assignment and rest == ARGUMENTS
        with unpacked(name, store) as folder:
            return Judged({"rows": float(len(np.load(folder / "0.npy")))})

    hosts = {
        "builder": ({BUILD: 1}, FleetHost(never, None, judge), {}),
        "board": ({"device:board": 1}, FleetHost(never, "board"), {}),
        "both": ({BUILD: 1, "device:other": 1}, FleetHost(never, "other", never), {}),
    }
    with own_hosts(**hosts) as address, distributed.Client(address, set_as_default=False) as client:
        builds = [client.submit(endless_build, n, resources={BUILD: 1}) for n in range(3)]
        try:
            assert BEGUN.wait(30)
            judged = RemoteJudge(address, assignment)(outputs, *ARGUMENTS)
        finally:
            END.set()
        client.gather(builds)
    assert judged == Judged({"rows": 3.0})
    assert not store.names()


def test_the_judges_error_is_told(assignment: Assignment, outputs: Path) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    judging = FleetHost(never, None, full)
    with (
        own_hosts(builder=({BUILD: 1}, judging, {})) as address,
        pytest.raises(StudyError, match=r"no host could judge the outputs: .*No space left"),
    ):
        RemoteJudge(address, assignment)(outputs, *ARGUMENTS)


def test_a_scheduler_that_does_not_answer_at_once_is_asked_again(
    assignment: Assignment, outputs: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "paretune.runners.fleet.device.remote_judge.connected"
    places = ["tcp://127.0.0.1:1"]  # where nobody listens, and then the scheduler
    monkeypatch.setattr("paretune.runners.fleet.fleet.CONNECT_S", 0.5)
    monkeypatch.setattr(where, lambda _: connected(places.pop(0)))
    judging = FleetHost(never, None, lambda *_: Judged({"accuracy": 1.0}))
    with own_hosts(builder=({BUILD: 1}, judging, {})) as address:
        places.append(address)
        assert RemoteJudge(address, assignment)(outputs, *ARGUMENTS) == Judged({"accuracy": 1.0})
    assert not places
    places.append("tcp://127.0.0.1:1")
    with pytest.raises(StudyError, match="no scheduler answers"):
        RemoteJudge(address, assignment, gone_s=0.0)(outputs, *ARGUMENTS)
    assert not store.names()


def test_outputs_that_nobody_can_judge_are_said(
    assignment: Assignment, outputs: Path, store: ArtifactStore
) -> None:
    board = FleetHost(never, "board")
    with (
        own_hosts(board=({"device:board": 1}, board, {})) as address,
        pytest.raises(StudyError, match=r"no host of the fleet at .* can judge outputs"),
    ):
        RemoteJudge(address, assignment, gone_s=0.0)(outputs, *ARGUMENTS)
    assert not store.names()


def test_a_runtime_that_changes_during_a_search_is_refused(assignment: Assignment) -> None:
    import onnxruntime

    versions = {
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }

    def told(**changes: str) -> Assignment:
        measuring = replace(
            assignment.measuring, runners=(SETUP,), versions={"onnxruntime": versions | changes}
        )
        return replace(assignment, measuring=measuring)

    refuse_new_versions(told(), "board")
    changed = f"the host board has other versions .*: onnxruntime 1.2.3 → {onnxruntime.__version__}"
    with pytest.raises(StudyError, match=changed):
        refuse_new_versions(told(onnxruntime="1.2.3"), "board")


def test_a_host_of_another_release_is_refused() -> None:
    other = {**own_versions(), "paretune": "0.0.1", "python": "3.99"}
    told = {ANNOUNCED: other}
    hosts = {
        "builder": ({BUILD: 1}, FleetHost(never, None, never), {ANNOUNCED: own_versions()}),
        "old": ({"device:old": 1}, FleetHost(never, "old"), told),
        "board": ({"device:board": 1}, FleetHost(never, "board"), {ANNOUNCED: own_versions()}),
    }
    ours = own_versions()
    has, have = "python 3.99, paretune 0.0.1", f"python {ours['python']}, paretune"
    with own_hosts(**hosts) as address:
        Fleet(address, "board").__exit__()
        with pytest.raises(StudyError, match=f"the host old of the fleet has {has}, but .*{have}"):
            Fleet(address, "old")
        with distributed.Client(address, set_as_default=False) as client:
            workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    with pytest.raises(StudyError, match=f"this host, new, has {have} .* old of the fleet has"):
        refuse_to_join_others("new", workers)


def test_measuring_imports_nothing_that_builds() -> None:
    script = (
        "import sys\n"
        "import distributed\n"
        "import paretune.search.cli.main\n"
        "import paretune.search.study.fleet.worker as worker\n"
        "worker._studies('tcp://127.0.0.1:1', 'board', 0, measures=True)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = run_python("-c", script)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "paretune" in loaded
    heavy = {"joblib", "mlflow", "nncf", "onnx", "optuna", "pydantic", "rich", "scipy", "torch"}
    assert not loaded & heavy


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that was made as docs/fleet.md says."""
    folder = tmp_path_factory.mktemp("slim")
    source = folder / "source"
    for name in ("paretune", "spaces", "runners", "search"):
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    # The same versions as here: a fleet refuses others.
    here = os.environ | {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    reached = subprocess.run(
        [*pip, "download", "--quiet", "--no-deps", "--dest", folder / "reached", "click"],
        env=here,
        capture_output=True,
        text=True,
    )
    if reached.returncode:
        pytest.skip(f"no package index to install from: {reached.stderr[-300:]}")
    text = (ROOT / "docs" / "fleet.md").read_text("utf-8")
    lines = re.findall(r"^pip (install .*--no-deps paretune)$\n^pip (install .*)$", text, re.M)
    assert len(lines) == 1
    for line in lines[0]:
        words = [str(source) if word == "paretune" else word for word in line.split()]
        done = subprocess.run([*pip, *words], env=here, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return python


@pytest.mark.slow
def test_a_slim_host_measures_with_a_runtime_that_the_search_lacks(
    tmp_path: Path, slim: Path
) -> None:
    listed = subprocess.run([slim, "-m", "pip", "list"], capture_output=True, text=True).stdout
    names = {line.split()[0].lower() for line in listed.splitlines()[2:]}
    assert not names & {"joblib", "mlflow", "nncf", "onnx", "optuna", "scipy", "torch"}
    # Only the device's process has the variable: for all others this interpreter does not start.
    own = tmp_path / "board-python"
    own.write_text(f'#!/bin/sh\n[ -n "$IS_BOARD" ] && exec {slim} "$@"\nexit 1\n', "utf-8")
    own.chmod(0o755)
    study = write_study(
        tmp_path,
        space=TINY_SPACE | {"execution_provider": ["board/CPUExecutionProvider"]},
        runners={"board": {"runtime": "onnxruntime", "python": "board-python"}},
        tracking=False,
    )
    with (
        scheduler() as address,
        host(address, "builder", tmp_path, "--builds", "1"),
        host(address, "board", tmp_path, "--device", "board", python=slim, IS_BOARD="1", **ALONE),
    ):
        with distributed.Client(address, set_as_default=False) as client:
            wait_until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)
        search = ["search", study, "--scheduler", address, "--trials"]
        done = run_paretune(*search, "5")
        log = (tmp_path / "board.log").read_text("utf-8")
        assert done.returncode == 0, done.stdout + done.stderr + log
        for record in load_history(study).records:
            assert not isinstance(record.outcome, Failure), record.outcome
        measured = load_history(study).measured
        assert len(measured) == 5, done.stdout + done.stderr + log
        for record in measured:
            assert record.measurement is not None
            statistics = record.measurement.statistics
            assert 0 < statistics["accuracy"].value <= 1
            assert statistics["latency_p95_ms"].value > 0
        _measured_with(study, "1.2.3")
        done = run_paretune(*search, "6")
    assert done.returncode == 1
    assert "measured with other versions on the device board: onnxruntime 1.2.3 →" in done.stderr
    store = ArtifactStore(tmp_path / "results" / "store")
    for name in store.names():
        file = store.get(name)
        assert file is not None and not tarfile.is_tarfile(file)  # no outputs are left


def _measured_with(study: Path, version: str) -> None:
    """Record that the trials were measured with another ONNX Runtime."""
    import onnxruntime

    with sqlite3.connect(study.parent / "results" / "optuna.db") as database:
        changed = database.execute(
            "update trial_user_attributes set value_json = replace(value_json, ?, ?) "
            "where key = 'paretune_record'",
            [f'"onnxruntime": "{onnxruntime.__version__}"', f'"onnxruntime": "{version}"'],
        )
        assert changed.rowcount == 5


@pytest.mark.slow
@pytest.mark.parametrize("judges", [True, False])
def test_the_only_build_is_suspended_where_another_process_judges(
    tmp_path: Path, judges: bool
) -> None:
    settings = worker_settings(OpenStudy(write_study(tmp_path)))
    with BuildPool(settings, judges=judges) as pool:
        pool.describe()
        before = settings.log.stat().st_mtime_ns
        pool.submit(Build(BuildSpec("small", 0.5, "int8-static")))
        wait_until(lambda: settings.log.stat().st_mtime_ns > before)
        with pool.paused():
            (process,) = (psutil.Process(pid) for pid in pool.service._executor._processes)
            if judges:  # it has to answer within this context
                assert process.status() != psutil.STATUS_STOPPED
            else:
                wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
        pool.cancel()
