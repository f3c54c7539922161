"""From a launch's outputs to what is recorded: streamed, several metrics, beside the baseline."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import QUICK_CONFIRMATION, run_paretune
from onnx_models import fixed_batch, two_inputs
from test_onnx_workload import bring, loaded, quick_study

import paretune
from paretune import Data, Split, Workload
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.metric import FLIPPED
from paretune.runners.runtimes.launched.jobs import _OutputFiles
from paretune.runners.runtimes.launched.refusal import RefusedError
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.datasets.stored_targets import read_targets
from paretune.runners.workload.loaded import LoadedWorkload, metrics_of
from paretune.runners.workload.metrics.classes import F1, Accuracy
from paretune.runners.workload.outputs import stored_outputs
from paretune.spaces import WorkloadError

WORKLOAD = """
import numpy as np
import torch
from torch import nn
from paretune import Data, Split, Workload


class Own(Workload):
    def models(self):
        return {{"reference": {model}}}

    def data(self):
        x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
        y = {targets}
        return Data(*(Split(x, y) for _ in range(4)))
"""


def own(folder: Path, model: str, targets: str) -> LoadedWorkload:
    (folder / "workload.py").write_text(WORKLOAD.format(model=model, targets=targets), "utf-8")
    return LoadedWorkload("workload.py:Own", folder)


@pytest.mark.parametrize(
    ("model", "targets", "message"),
    [
        ("lambda: nn.Linear(8, 3)", "(x[:, :3] > 0).astype(np.float32)", "f1-multilabel"),
        ("lambda: nn.Linear(8, 3)", "np.arange(40) % 3 + 1", "subtract 1"),
        ("lambda: nn.Linear(7, 3)", "np.arange(40) % 3", "the first call of the reference"),
        ("lambda: nn.Linear(8, 3)", "x[:, 0]", "needs integer labels; got float32"),
    ],
    ids=["multi-label", "labels from 1", "other inputs", "values"],
)
def test_what_does_not_fit_is_told_before_anything_is_trained(
    tmp_path: Path, model: str, targets: str, message: str
) -> None:
    """Cases 50 and 52: told after five trials that had failed alike."""
    with pytest.raises(WorkloadError, match=message):
        own(tmp_path, model, targets).check_metrics()


def test_what_fits_is_not_complained_about(tmp_path: Path) -> None:
    for model in ("lambda: nn.Linear(8, 3)", "lambda: nn.Linear(8, 1)"):
        own(tmp_path, model, "np.arange(40) % 2").check_metrics()


def test_the_first_metric_is_the_objective_unless_another_is_named() -> None:
    class Several(Workload):
        def models(self) -> Any: ...
        def data(self) -> Any: ...
        def metrics(self) -> Any:
            return [F1(), Accuracy()]

    class Named(Several):
        quality_metric = "accuracy_of_mine"

        def metrics(self) -> Any:
            return [F1(), Accuracy("accuracy_of_mine")]

    class Both(Several):
        quality_metric = "own"

        def quality(self, outputs: Any, targets: Any) -> float:
            return 1.0

    class Twice(Several):
        def metrics(self) -> Any:
            return [F1(), F1()]

    names = [[m.name for m in metrics_of(each())] for each in (Several, Named, Both)]
    assert names == [["f1", "accuracy"], ["accuracy_of_mine", "f1"], ["own", "f1", "accuracy"]]
    with pytest.raises(WorkloadError, match="two metrics are called f1"):
        metrics_of(Twice())


def test_outputs_are_appended_batch_by_batch_with_the_sample_first(tmp_path: Path) -> None:
    model: Any = SimpleNamespace(output_names=["scores", "state", "names"])
    job: Any = {"batch_size": 3, "output_axes": {"scores": 0, "state": 1}}
    with _OutputFiles(tmp_path / "outputs", job, model) as files:
        for count in (3, 2):  # the second batch is filled up
            state = np.arange(6.0).reshape(2, 3, 1)
            files.append([np.ones((3, 4)), state, np.array(["a"], object)], count)
    batches = list(stored_outputs(tmp_path / "outputs"))
    assert [{n: a.shape for n, a in each.items()} for each in batches] == [
        {"scores": (3, 4), "state": (3, 2, 1)},
        {"scores": (2, 4), "state": (2, 2, 1)},
    ]
    assert batches[0]["state"][1].ravel().tolist() == [1.0, 4.0]
    assert json.loads((tmp_path / "outputs" / "names.json").read_text()) == ["scores", "state"]


def test_an_output_without_samples_is_told_apart_one_by_one_only(tmp_path: Path) -> None:
    """Case 10: the rows of NonMaxSuppression's output were taken for samples."""
    model: Any = SimpleNamespace()
    for place, axes in enumerate(({}, {"output": None})):
        job: Any = {"batch_size": 4, "output_axes": axes}
        with (
            _OutputFiles(tmp_path / f"{place}", job, model) as files,
            pytest.raises(RefusedError, match="batch size 1"),
        ):
            files.append([np.ones((2, 3))], 4)
    with _OutputFiles(
        tmp_path / "one", {"batch_size": 1, "output_axes": {"output": None}}, model
    ) as one:
        for boxes in (2, 0):
            one.append([np.ones((boxes, 3))], 1)
    assert [each["output"].shape for each in stored_outputs(tmp_path / "one")] == [
        (1, 2, 3),
        (1, 0, 3),
    ]


@pytest.mark.slow
def test_several_metrics_and_flips_are_recorded_and_a_subset_judges_the_search(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    labels = rng.integers(0, 4, 64)
    model, data = bring(tmp_path, fixed_batch, rng, right=labels)
    study = quick_study(
        tmp_path,
        model,
        data,
        labels="right",
        metric="accuracy",
        space={
            "quantization": ["fp32", "int8-static"],
            "execution_provider": ["CPUExecutionProvider"],
            "batch_size": [4],
        },
        strategy={"sampler": "exhaustive"},
        confirmation=QUICK_CONFIRMATION,
    )
    values = study.read_text("utf-8").replace("measurement:", "measurement:\n  quality_samples: 9")
    study.write_text(values, "utf-8")
    workload = study.with_name("workload.py")
    more = "\n    def metrics(self):\n        return [*super().metrics(), F1()]\n"
    head = "from paretune.runners.workload.metrics.classes import F1\n"
    workload.write_text(head + workload.read_text("utf-8").rstrip() + "\n" + more, "utf-8")
    assert [m.name for m in loaded(study).metrics] == ["accuracy", "f1"]
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    base = history.baseline
    assert base is not None and base.metrics[FLIPPED] == 0.0
    assert base.metrics["accuracy"] * 9 == pytest.approx(round(base.metrics["accuracy"] * 9))
    assert all({"f1", FLIPPED} <= set(record.metrics) for record in history.measured)
    assert all({"f1", FLIPPED} <= set(point.metrics) for point in history.confirmed)
    whole = history.confirmed[0].metrics["accuracy"] * 24
    assert whole == pytest.approx(round(whole))


def test_a_baseline_without_labels_flips_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    model, data = bring(tmp_path, two_inputs, rng)
    workload = loaded(paretune.onnx_study(model, data, folder=tmp_path / "study"))
    workload.check_metrics()
    answers = [np.asarray(each) for each in workload.targets("test")]
    assert workload.score(np.concatenate(answers), "test") == pytest.approx(1.0)


def test_data_of_several_inputs_must_have_the_same_names(tmp_path: Path) -> None:
    x, y = np.ones((8, 2), np.float32), np.zeros(8, np.int64)
    data = Data(Split({"a": x}, y), Split({"a": x}, y), Split({"b": x}, y), Split({"a": x}, y))
    from paretune.runners.workload.loaded import _check_tensors

    with pytest.raises(WorkloadError, match="of the same names"):
        _check_tensors("workload.py:Own", data)


LOADER = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from paretune import Data, Workload


class Own(Workload):
    def models(self):
        return {"reference": lambda: nn.Linear(8, 3)}

    def data(self):
        rows = TensorDataset(torch.arange(80.0).reshape(10, 8), torch.arange(10) % 3)
        return Data(*(DataLoader(rows, batch_size=4, num_workers=2) for _ in range(4)))
"""


@pytest.mark.slow
def test_a_loaders_workers_run_in_a_build_worker(tmp_path: Path) -> None:
    """Its process has loky's way to start others, which torch's loader cannot use."""
    (tmp_path / "workload.py").write_text(LOADER, "utf-8")
    settings = WorkerSettings(
        "workload.py:Own", tmp_path, tmp_path / "store", tmp_path / "log.txt", threads=1
    )
    with BuildWorker(settings) as worker:
        worker.describe()
        samples = worker.put_samples("validation", 6)
    store = ArtifactStore(tmp_path / "store")
    path, targets = store.get(samples.inputs[0]), store.get(samples.targets)
    assert path is not None and targets is not None
    inputs = np.load(path)
    rows = (inputs[:, 0] / 8).astype(int)
    assert len(rows) == 6 and (np.diff(rows) > 0).all()
    assert np.concatenate(list(read_targets(targets))).tolist() == (rows % 3).tolist()
