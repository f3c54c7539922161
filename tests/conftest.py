"""What the tests share: a real study of a small workload, run once by the command line."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS
from paretune.runners.runtimes.proof import ProviderShare
from paretune.search.record.trial import TrialRecord
from paretune.spaces import BuildSpec, Candidate, Quantization, RunSpec, SearchSpace

TESTS = Path(__file__).parent
IRIS = TESTS / "iris_workload.py"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

SMALL_SPACE: dict[str, list[Any]] = {
    "student": ["reference", "small"],
    "pruning_ratio": [0.0, 0.5],
    "quantization": ["fp32", "int8-static", "int8-dynamic", "int8-weight"],
    "batch_size": [1, 8],
    "execution_provider": ["CPUExecutionProvider"],
    "intra_op_threads": [1],
}
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


def run_paretune(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does, in a process of its own."""
    return run_python("-m", "paretune", *arguments, timeout=timeout)


def run_python(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=timeout
    )


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
def iris_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of ten trials; its study file."""
    folder = tmp_path_factory.mktemp("iris study")  # a space in the path is meant
    path = write_study(folder, confirmation=QUICK_CONFIRMATION)
    done = run_paretune("search", path)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.from_values(SMALL_SPACE)


@pytest.fixture
def make_record() -> Callable[..., TrialRecord]:
    """Make trial records without building anything, for what only reads them."""

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
