"""A study keeps its runtime versions, and confirm keeps the study's limits."""

import platform
import sqlite3
from pathlib import Path

import onnxruntime
import pytest
import yaml
from conftest import run_paretune

import paretune


@pytest.fixture
def study(iris_copy: Path) -> Path:
    """A copy of the finished study, without tracking."""
    values = yaml.safe_load(iris_copy.read_text("utf-8")) | {"tracking": False}
    iris_copy.write_text(yaml.safe_dump(values), "utf-8")
    return iris_copy


def measured_with(study: Path, name: str, version: str, other: str) -> None:
    """Record another version in the study's trials."""
    with sqlite3.connect(study.parent / "results" / "optuna.db") as connection:
        changed = connection.execute(
            "update trial_user_attributes set value_json = replace(value_json, ?, ?) "
            "where key = 'paretune_record'",
            [f'"{name}": "{version}"', f'"{name}": "{other}"'],
        )
        assert changed.rowcount == 10
    record = paretune.status(study).measured[-1]
    assert record.measurement is not None
    assert record.measurement.environment[name] == other


def test_a_search_does_not_mix_the_times_of_two_runtimes(study: Path) -> None:
    measured_with(study, "onnxruntime", onnxruntime.__version__, "1.2.3")
    done = run_paretune("search", study, "--trials", "11")
    assert done.returncode == 1
    assert f"onnxruntime 1.2.3 → {onnxruntime.__version__}" in done.stderr
    assert "Install onnxruntime 1.2.3 again" in done.stderr and "new `name`" in done.stderr
    assert len(paretune.status(study).records) == 10


def test_a_patch_of_python_is_no_other_runtime(study: Path) -> None:
    patched = ".".join([*platform.python_version().split(".")[:2], "999"])
    measured_with(study, "python", platform.python_version(), patched)
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_confirming_says_that_the_search_had_another_runtime(study: Path) -> None:
    measured_with(study, "onnxruntime", onnxruntime.__version__, "1.2.3")
    done = run_paretune("confirm", study)
    assert done.returncode == 0, done.stderr
    assert "measured with onnxruntime 1.2.3" in done.stderr


def test_confirming_keeps_the_limits_of_builds(study: Path) -> None:
    values = yaml.safe_load(study.read_text("utf-8"))
    values["budget"]["build_timeout_s"] = 0.001
    study.write_text(yaml.safe_dump(values), "utf-8")
    done = run_paretune("confirm", study)
    assert done.returncode == 1 and "budget.build_timeout_s" in done.stderr
