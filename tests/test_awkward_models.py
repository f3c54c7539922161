"""Models with several outputs, keyword inputs and habits that files cannot have."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import IRIS

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.onnx_session import cpu_session
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.learning.first_pass import check_first_loss
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import BuildSpec, Quantization, WorkloadError

FP32 = BuildSpec("reference", 0.0, Quantization.FP32)
PRUNED = BuildSpec("reference", 0.5, Quantization.FP32)


def builder(name: str, folder: Path) -> Builder:
    loaded = LoadedWorkload(f"awkward_workload.py:{name}", IRIS.parent)
    return Builder(loaded, ArtifactStore(folder / "store"))


def file_of(built: Built | Failure, using: Builder) -> Path:
    assert isinstance(built, Built), built
    path = using.store.get(built.artifact)
    assert path is not None
    return path


@pytest.mark.parametrize("spec", [FP32, PRUNED, BuildSpec("reference", 0.0, Quantization.INT8_QAT)])
def test_all_outputs_of_a_tuple_are_exported(spec: BuildSpec, tmp_path: Path) -> None:
    """ "'tuple' object has no attribute 'cpu'" (case 44)."""
    using = builder("TupleOutput", tmp_path)
    path = file_of(using.build(spec), using)
    assert [each.name for each in onnx.load(path).graph.output] == ["output", "output_1"]
    logits, hidden = cpu_session(path).run(None, {"input": using.loaded.data.test.inputs[:7]})
    assert logits.shape == (7, 10) and hidden.shape == (7, 32)


def test_names_of_inputs_and_outputs_are_the_models_own(tmp_path: Path) -> None:
    """Inputs were called input and input_1, and only a tensor could be returned (C34)."""
    using = builder("ByKeyword", tmp_path)
    path = file_of(using.build(FP32), using)
    graph = onnx.load(path).graph
    assert {each.name for each in graph.input} == {"pixels", "weight"}
    assert [each.name for each in graph.output] == ["logits", "boxes", "boxes_1"]
    batch = next(iter(using.loaded.data.test.batches(5)))
    logits, boxes, sums = cpu_session(path).run(None, dict(batch.inputs))
    assert logits.shape == (5, 10) and boxes.shape == (5, 4) and sums.shape == (5,)
    program = file_of(using.build(FP32, "pt2"), using)
    outputs = torch.export.load(program).module()(
        *(torch.from_numpy(each) for each in batch.inputs.values())
    )
    assert list(outputs) == ["logits", "boxes", "boxes_1"]
    np.testing.assert_allclose(outputs["boxes"].detach(), boxes, atol=1e-5)


def test_a_batch_that_forward_fixes_is_said(tmp_path: Path) -> None:
    """ "Got invalid dimensions for input: input for the following indices" (case 47)."""
    failure = builder("FixedBatch", tmp_path).build(FP32)
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.kind) == ("export", FailureKind.UNSUPPORTED)
    assert "takes batches of 2 only" in failure.message and "x.shape[0]" in failure.message


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_a_branch_on_the_data_is_said_with_its_line(format: str, tmp_path: Path) -> None:
    """The exporter's banner was told, and the reason cut off (case 56)."""
    failure = builder("DataDependent", tmp_path).build(FP32, format)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.UNSUPPORTED
    assert "if early.softmax(-1).max() > 0.99" in failure.message.splitlines()[0]
    assert "branches on the values of its data" in failure.message and "\x1b" not in failure.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ShiftedLabels", "classes from 0 to 9.*labels from 1 to 10"),
        ("Regression", r"needs classes \(integers\) as targets; got torch.float32.*write loss\(\)"),
    ],
)
def test_what_every_trial_would_meet_is_said_before_the_first(
    name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(WorkloadError, match=message):
        check_first_loss(builder(name, tmp_path).loaded)


@pytest.mark.parametrize("name", ["TupleOutput", "ByKeyword", "FixedBatch"])
def test_what_can_be_trained_passes(name: str, tmp_path: Path) -> None:
    check_first_loss(builder(name, tmp_path).loaded)


def test_a_metric_that_is_not_a_number_is_a_failure_of_one_candidate(tmp_path: Path) -> None:
    """It ended the study, and at the next start again (C23)."""
    using = builder("Collapsed", tmp_path)
    failure = using.build(PRUNED)
    assert isinstance(failure, Failure)
    assert (failure.stage, failure.kind) == ("fine-tune", FailureKind.ACCURACY)
    assert "nan" in failure.message
