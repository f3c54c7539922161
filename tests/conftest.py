"""Shared by the tests: a real study of a small workload, run once by the command line."""

import functools
import itertools
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from click.testing import CliRunner

from paretune.runners.failure import Failure, FailureKind
from paretune.runners.file_lock import locked
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.runners.runtimes.proof import ProviderShare
from paretune.search.record.trial import TrialRecord
from paretune.spaces import BuildSpec, Candidate, Quantization, RunSpec, SearchSpace

TESTS = Path(__file__).parent
IRIS = TESTS / "iris_workload.py"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Each process of tests has its devices for itself: tests side by side need not wait for each other,
# because none asserts a time (those that need a quiet machine are marked).
os.environ["PARETUNE_LEASES"] = tempfile.mkdtemp(prefix="paretune-test-")

LONGEST = ("test_notebooks.py",)
"""Files of few tests that take long."""

SMALL_SPACE: dict[str, list[Any]] = {
    "student": ["reference", "small"],
    "pruning_ratio": [0.0, 0.5],
    "quantization": ["fp32", "int8-static", "int8-dynamic", "int8-weight"],
    "batch_size": [1, 8],
    "execution_provider": ["CPUExecutionProvider"],
    "intra_op_threads": [1],
}
TINY_SPACE: dict[str, list[Any]] = {**SMALL_SPACE, "quantization": ["fp32", "int8-dynamic"]}
"""Takes no calibration: NNCF, which takes seconds to import, is not needed."""
BUILT_SPACE: dict[str, list[Any]] = {
    **SMALL_SPACE,
    "student": ["reference"],
    "pruning_ratio": [0.0],
}
"""With the fixture ``built``, there is nothing to build: the store has it all."""
QUICK = {
    "launches": 2,
    "extra_launches": 0,
    "warmup_seconds": 0.05,
    "min_seconds": 0.02,
    "idle_wait_s": 0.0,
}
QUICK_CONFIRMATION: dict[str, Any] = {
    "launches": 2,
    "max_launches": 2,
    "warmup_seconds": 0.05,
    "min_seconds": 0.02,
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that two processes of tests end at about the same time."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in LONGEST, -tests[item.path]))


def run_paretune(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which has already done the imports.

    It prints and ends as it does for a person. Use :func:`start_paretune` if the process matters:
    signals, kills, imports, or an MLflow database that is deleted while this process has it open.
    """
    from paretune.search.cli.main import main

    command = list(map(str, arguments))
    before = _worker_processes()
    with _as_in_a_new_process():
        done = CliRunner().invoke(main, command, prog_name="paretune")
    if done.exit_code in (130, 143):
        raise KeyboardInterrupt  # the tests were meant: without this the next one would begin
    stderr = done.stderr
    if done.exc_info is not None and not isinstance(done.exception, SystemExit | None):
        stderr += "".join(traceback.format_exception(*done.exc_info))
    assert _worker_processes() <= before, f"paretune {command} left its build processes"
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, stderr)


@contextmanager
def _as_in_a_new_process() -> Iterator[None]:
    """Let warnings reach standard error, past pytest's handlers, and put the import path back."""
    root, path = logging.getLogger(), list(sys.path)
    handlers, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers, sys.path[:] = handlers, path


def _worker_processes() -> set[int]:
    """Return the build processes of this one."""
    children = psutil.Process().children()
    return {child.pid for child in children if "popen_loky_posix" in " ".join(_command(child))}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has just ended


def start_paretune(
    *arguments: str | Path, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does, in a separate process."""
    return run_python("-m", "paretune", *arguments, timeout=timeout)


def run_python(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run Python in a separate process."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=timeout
    )


def wait_until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds; fail if it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it does not hold after {seconds:g} s"
        time.sleep(0.02)


def write_study(folder: Path, **changes: Any) -> Path:
    """Write a study file on the iris workload, with top-level keys changed (``None`` drops one)."""
    values: dict[str, Any] = {
        "name": "iris",
        "workload": f"{IRIS}:Iris",
        "space": SMALL_SPACE,
        "budget": {"trials": 10},
        "measurement": QUICK,
        "confirmation": {"enabled": False},
        **changes,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}), "utf-8")
    return path


@pytest.fixture(scope="session")
def searched_iris(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A finished study of ten trials; its study file. For fixtures of modules: they copy it.

    Processes of tests that run side by side share it: the first one makes it. So do those that run
    one after the other with the same folder in PARETUNE_TEST_STUDIES.
    """
    base = tmp_path_factory.getbasetemp()
    shared = os.environ.get("PARETUNE_TEST_STUDIES")
    base = Path(shared) if shared else base if worker_id == "master" else base.parent
    folder = base / "iris study"  # the space is meant
    with locked(folder.with_suffix(".lock"), create=True):
        if (folder / "done").exists():
            return folder / "study.yaml"
        folder.mkdir()  # if this fails, another process failed to search it
        path = write_study(folder, confirmation=QUICK_CONFIRMATION)
        done = run_paretune("search", path)
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "done").touch()
        return path


@pytest.fixture
def iris_study(searched_iris: Path) -> Iterator[Path]:
    """The finished study that all tests share, to read."""
    before = _files(searched_iris.parent)
    yield searched_iris
    changed = set(before.items()) ^ set(_files(searched_iris.parent).items())
    assert not changed, f"the test changed the shared study ({changed}): it should copy it"


@pytest.fixture
def built(searched_iris: Path, tmp_path: Path) -> None:
    """Put what the finished study built into the store of a study of irises in ``tmp_path``."""
    store = searched_iris.parent / "results" / "store"
    shutil.copytree(store, tmp_path / "results" / "store")


@pytest.fixture
def iris_copy(searched_iris: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, to change."""
    return copy_study(searched_iris, tmp_path / "iris copy")


def copy_study(study: Path, folder: Path) -> Path:
    """Copy a finished study as if it had been searched in ``folder``; its study file."""
    shutil.copytree(study.parent, folder)
    # MLflow has the places of its files in full: a copy would write to what it was copied from.
    here, there = study.parent.as_uri(), folder.as_uri()
    with closing(sqlite3.connect(folder / "results" / "mlflow.db")) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            database.execute(
                f"update {table} set {column} = replace({column}, ?, ?)", (here, there)
            )
    return folder / study.name


def place_mlflow(path: Path) -> None:
    """Put a copy of an empty MLflow database at a path, if there is none: creating one is slow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(_empty_mlflow())


@functools.cache
def _empty_mlflow() -> bytes:
    from paretune.search.review.mlflow.client import mlflow_client

    with tempfile.TemporaryDirectory() as folder:
        mlflow_client(f"sqlite:///{folder}/mlflow.db").search_experiments()
        with closing(sqlite3.connect(f"{folder}/mlflow.db")) as database:
            return database.serialize()


def mlflow_as_it_is(study: Path) -> str:
    """Return an address of a study's MLflow database that was not open before.

    MLflow keeps its databases open: it would still report the content of a deleted one.
    """
    folder = study.parent
    names = (folder.with_name(f"{folder.name} {number}.db") for number in itertools.count())
    link = next(name for name in names if not name.is_symlink())
    link.symlink_to(folder / "results" / "mlflow.db")
    return f"sqlite:///{link}"


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what shows that a file was changed; even readers write to MLflow's database."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        is_database = path.name.startswith("mlflow.db")
        if (
            path.is_file()
            and not path.is_symlink()
            and path.suffix not in (".db-shm", ".db-wal", ".lock")
        ):
            found[str(path)] = (status.st_ino, 0 if is_database else status.st_mtime_ns)
    return found


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.from_values(SMALL_SPACE)


@pytest.fixture
def make_record() -> Callable[..., TrialRecord]:
    """Make trial records without building anything, for code that only reads them."""

    def make(number: int, metrics: Mapping[str, float] | None, batch_size: int = 1) -> TrialRecord:
        candidate = Candidate(
            BuildSpec("reference", 0.0, Quantization.FP32),
            RunSpec("onnxruntime", "CPUExecutionProvider", batch_size, number + 1),
        )
        outcome: Measurement | Failure
        if metrics is None:
            outcome = Failure("prune", FailureKind.INVALID, f"no channel left in layer {number}")
        else:
            everything = dict.fromkeys(METRICS, 1.0) | {"accuracy": 0.5} | dict(metrics)
            statistics = {name: Statistic(value) for name, value in everything.items()}
            outcome = Measurement(
                run=candidate.run,
                artifact="0" * 64,
                statistics=statistics,
                launches=3,
                contaminated_launches=0,
                is_steady=True,
                is_resolved=True,
                host_was_idle=True,
                canary_ms=0.1,
                providers={"CPUExecutionProvider": ProviderShare(1, 1.0, 1.0)},
                samples="1" * 64,
            )
        return TrialRecord(number, candidate, outcome, 100.0 + number, 101.0 + number)

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
