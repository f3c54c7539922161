"""A toy runtime, format, scheme, axis and target, registered from a file of the tests' own.

They take part in a study that runs, resumes, is tracked, picked and verified.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from conftest import QUICK_CONFIRMATION, TESTS, run_paretune, start_paretune, write_study

from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import read_study_file
from paretune.search.deliver.target import TARGETS
from paretune.search.record.history import History
from paretune.search.study.open_study import load_history
from paretune.search.study.parts import study_space
from paretune.spaces import AXES, SCHEMES, Candidate, ConfigError

TOY = TESTS / "toy" / "extensions.py"
SPACE = {
    "pruning_ratio": [0.0, 0.5],
    "quantization": ["fp32", "int8-rounded"],
    "batch_size": [1, 8],
    "execution_provider": ["numpy/cpu", "CPUExecutionProvider"],
    "axes": {"row_block": [1, 4]},
}
FIRST, ALL = 3, 8


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    """Forget what the study's plugin registered in this process, once these tests are done."""
    with ExitStack() as stack:
        for registry in (RUNTIMES, FORMATS, SCHEMES, AXES, TARGETS):
            stack.enter_context(registry.restored())  # type: ignore[attr-defined]
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was stopped after three trials, then resumed, and confirmed."""
    folder = tmp_path_factory.mktemp("toy")
    # Random, because what the other strategies propose depends on times.
    changes = {"plugins": [str(TOY)], "space": SPACE, "strategy": {"sampler": "random"}}
    path = write_study(folder, budget={"trials": FIRST}, **changes)
    done = run_paretune("search", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(load_history(path).records) == FIRST
    write_study(folder, budget={"trials": ALL}, confirmation=QUICK_CONFIRMATION, **changes)
    done = run_paretune("search", path)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture
def history(study: Path) -> History:
    return load_history(study)


@pytest.mark.slow
def test_a_study_with_all_of_them_runs_and_resumes(history: History) -> None:
    assert len(history.records) == ALL and not history.failed
    runs = [record.candidate.run for record in history.measured]
    assert {"numpy"} <= {run.runner for run in runs} <= {"numpy", "onnxruntime"}
    assert "int8-rounded" in {r.candidate.build.quantization for r in history.measured}
    assert {dict(run.options)["row_block"] for run in runs} == {1, 4}
    assert history.published
    for record in history.measured:
        is_toy = record.candidate.run.runner == "numpy"
        assert ("export-npz" in record.lineage) == is_toy, record.lineage
        assert record.measurement and record.measurement.metrics["accuracy"] > 0.6


@pytest.mark.slow
def test_what_does_not_fit_together_is_ruled_out(study: Path) -> None:
    space = study_space(read_study_file(study), study.parent)
    there = {"execution_provider": "onnxruntime/CPUExecutionProvider"}
    for other, says in (
        ({"quantization": "int8-rounded"}, "exist in"),
        ({"row_block": 4}, "numpy"),
    ):
        reason = space.reason_against(
            Candidate.from_params(space.baseline.params | there | {"pruning_ratio": 0.5} | other)
        )
        assert reason is not None and says in reason, reason
    same = space.baseline.params | {"quantization": "int8-rounded", "row_block": 4}
    assert space.reason_against(Candidate.from_params(same)) is None


@pytest.mark.slow
def test_it_is_tracked(study: Path, history: History) -> None:
    from mlflow import MlflowClient

    config = read_study_file(study)
    client = MlflowClient(StudyPaths(config, study).tracking_uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    toys = client.search_runs(experiments, "params.quantization = 'int8-rounded'")
    wanted = [r for r in history.records if r.candidate.build.quantization == "int8-rounded"]
    assert len(toys) == len(wanted) > 0
    assert {run.data.params["row_block"] for run in toys} <= {"1", "4"}
    assert all(run.data.metrics["knob/weight_bits"] == 8 for run in toys)
    done = run_paretune("doctor", study)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_it_is_picked_exported_and_verified(study: Path, tmp_path: Path) -> None:
    picked, out = tmp_path / "picked", tmp_path / "out"
    options = ["--runner", "numpy", "--no-measure", "--out", picked, "--target", "folder", out]
    done = run_paretune("pick", study, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((picked / "manifest.json").read_text("utf-8"))
    assert manifest["run"]["runtime"] == "numpy" and manifest["model"]["file"] == "model.npz"
    assert manifest["run"]["axes"].keys() == {"row_block"}
    assert json.loads((out / "iris.json").read_text("utf-8")) == manifest["run"]
    with np.load(out / "model.npz") as model:
        assert model["weight_0"].shape[1] == 4
    assert manifest["run"]["plugins"] == [str(TOY)]
    elsewhere = shutil.copytree(picked, tmp_path / "elsewhere")
    manifest["run"]["plugins"] = [str(tmp_path / "gone.py")]
    (elsewhere / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    # This process has loaded the plugin; a new one knows only what the bundle and the options name.
    done = start_paretune("verify", elsewhere)
    assert done.returncode == 1 and "--plugin FILE.py" in done.stderr, done.stdout + done.stderr
    for arguments in ([picked], [elsewhere, "--plugin", TOY]):
        done = start_paretune("verify", *arguments)
        verdicts = (0, 3, 4, 8)  # the machine may be restless
        assert done.returncode in verdicts, done.stdout + done.stderr
        assert "latency_p50_ms" in done.stdout


def test_a_file_that_is_gone_is_told_with_its_line(tmp_path: Path) -> None:
    path = write_study(tmp_path, plugins=["nowhere.py"])
    with pytest.raises(ConfigError, match=r"plugins\[0\]: there is no file"):
        read_study_file(path)


def test_a_file_that_fails_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from paretune.spaces import SCHEMES\n1 / 0\n", "utf-8")
    path = write_study(tmp_path, plugins=["broken.py"])
    with pytest.raises(ConfigError, match=r"plugins\[0\]: .*line 2 .*ZeroDivisionError"):
        read_study_file(path)
