"""A study of an ONNX file alone: samples, qualities, and repair of a collapsed model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from conftest import QUICK, QUICK_CONFIRMATION, run_paretune
from onnx_models import (
    MODELS,
    Samples,
    external_data,
    fixed_batch,
    onnx_answers,
    perceptron,
    samples,
    two_inputs,
)

import paretune
from paretune.runners.build.schemes.placement.rounding_error import rounding_errors
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.metrics.judge import judge
from paretune.runners.workload.metrics.named import named_metric
from paretune.spaces import ParetuneError, Quantization, StudyError, WorkloadError

Make = Callable[[Path, np.random.Generator], Samples]


def judged(name: str, outputs: Any, targets: Any) -> float:
    """Return a named metric of outputs, as it is recorded."""
    return judge([named_metric(name)], [({"output": outputs}, targets)]).value


accuracy, f1, negative_mse, cosine_similarity = (
    partial(judged, name) for name in ("accuracy", "f1", "mse", "cosine")
)


def bring(folder: Path, make: Make, rng: np.random.Generator, **more: Any) -> tuple[Path, Path]:
    """Write a model and its samples, as a person has them; ``more`` is added to the samples."""
    model, data = folder / "model.onnx", folder / "samples.npz"
    given = make(model, rng)
    np.savez(data, **given, **more)
    return model, data


def quick_study(folder: Path, model: Path, data: Path, **changes: Any) -> Path:
    """Write the study that `--onnx` writes, then make it quick."""
    options = {k: changes.pop(k) for k in ("labels", "metric") if k in changes}
    study = paretune.onnx_study(model, data, folder=folder / "study", **options)
    values = yaml.safe_load(study.read_text("utf-8"))
    values |= {"measurement": QUICK, "confirmation": {"enabled": False}, "tracking": False}
    values["space"] |= {
        "execution_provider": ["CPUExecutionProvider"],
        "intra_op_threads": [1],
        "batch_size": values["space"]["batch_size"][:1],
    }
    values |= changes
    study.write_text(yaml.safe_dump(values), "utf-8")
    return study


def loaded(study: Path) -> LoadedWorkload:
    return LoadedWorkload("workload.py:Model", study.parent)


@pytest.mark.slow
def test_a_model_and_samples_become_a_frontier(tmp_path: Path, rng: np.random.Generator) -> None:
    model, data = bring(tmp_path, two_inputs, rng)
    study = quick_study(
        tmp_path,
        model,
        data,
        budget={"trials": 10},
        tracking=True,
        confirmation=QUICK_CONFIRMATION,
    )
    done = run_paretune("search", "--onnx", model, "--data", data, "--out", study.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    assert history.quality_metric == "cosine_similarity"
    assert history.baseline and history.baseline.metrics["cosine_similarity"] == pytest.approx(1.0)
    assert len({record.candidate.build.quantization for record in history.measured}) >= 3
    bundle = tmp_path / "picked"
    picked = paretune.pick(study, measure=False, out=bundle)
    inputs = [np.load(bundle / name) for name in ("inputs.npy", "inputs_1.npy")]
    assert np.allclose(
        onnx_answers(bundle / "model.onnx", inputs), np.load(bundle / "outputs.npy"), atol=1e-4
    )
    assert picked.record.number in {point.number for point in history.confirmed}
    assert paretune.verify(bundle).verdict.name in (
        "AS_PROMISED",
        "SLOWER",
        "FASTER",
        "CANNOT_TELL",
    )


def test_labels_metrics_and_splits(tmp_path: Path, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 4, 64)
    model, data = bring(tmp_path, fixed_batch, rng, right=labels)
    study = quick_study(tmp_path, model, data, labels="right", metric="f1")
    workload = loaded(study)
    assert workload.info.quality_metric == "f1"
    assert workload.info.is_file and workload.info.models == ("reference",)
    parts = [workload.data.calibration, workload.data.validation, workload.data.test]
    assert [len(part) for part in parts] == [16, 24, 24]
    rows = np.concatenate([part.inputs for part in parts])
    assert len(np.unique(rows, axis=0)) == 64
    answers = onnx_answers(model, [workload.data.test.inputs])
    assert workload.score(answers, "test") == pytest.approx(f1(answers, workload.data.test.targets))


def test_a_function_of_ones_own_judges(tmp_path: Path, rng: np.random.Generator) -> None:
    model, data = bring(tmp_path, fixed_batch, rng)
    own = tmp_path / "own.py"
    own.write_text("def worst(outputs, targets):\n    return -abs(outputs - targets).max()\n")
    workload = loaded(quick_study(tmp_path, model, data, metric=f"{own}:worst"))
    assert workload.info.quality_metric == "worst"
    assert workload.score(workload.data.test.targets, "test") == 0.0


def test_what_does_not_fit_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    model, data = bring(tmp_path, two_inputs, rng)
    given = dict(np.load(data))
    cases = [
        ({"tokens": given["tokens"]}, "has no array 'mask'"),
        (given | {"mask": given["mask"][:, :, None]}, "the model takes float32"),
        (given | {"mask": given["mask"][:, 0]}, r"\[64\]; the model takes float32"),
        (given | {"mask": given["mask"][:5]}, "needs the same number"),
        ({name: array[:6] for name, array in given.items()}, "at least 8"),
        (given | {"mask": given["mask"] * np.nan}, "NaN"),
    ]
    study = paretune.onnx_study(model, data, folder=tmp_path / "study")
    for arrays, message in cases:
        np.savez(data, **arrays)
        with pytest.raises(ParetuneError, match=message):
            loaded(study)
    data.write_bytes(b"no archive")
    with pytest.raises(ParetuneError, match=r"not a readable \.npz"):
        loaded(study)
    with pytest.raises(StudyError, match="there is no file"):
        paretune.onnx_study(model, tmp_path / "gone.npz")
    np.savez(data, **given)
    (tmp_path / "study" / "results").mkdir()
    (tmp_path / "study" / "results" / "study.db").touch()
    with pytest.raises(StudyError, match="holds another study already"):
        paretune.onnx_study(model, data, metric="accuracy", folder=tmp_path / "study")


def test_a_study_with_the_imports_of_an_earlier_version_is_the_same_study(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    model, data = bring(tmp_path, two_inputs, rng)
    study = paretune.onnx_study(model, data, folder=tmp_path / "study")
    workload = study.with_name("workload.py")
    old = workload.read_text("utf-8").replace("from paretune import", "from runners import")
    workload.write_text(old, "utf-8")
    (study.parent / "results").mkdir()
    (study.parent / "results" / "study.db").touch()
    assert paretune.onnx_study(model, data, folder=study.parent) == study
    assert workload.read_text("utf-8") == old
    with pytest.raises(StudyError, match="holds another study already"):
        paretune.onnx_study(model, data, metric="mse", folder=study.parent)


def test_a_model_without_a_batch_axis_takes_one_sample_per_call(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    # One sample is four rows: a model of batches of four, given as if it took one at a time.
    model, data = bring(tmp_path, fixed_batch, rng)
    np.savez(data, input=rng.standard_normal((64, 4, 32)).astype(np.float32))
    study = paretune.onnx_study(model, data, folder=tmp_path / "study")
    assert yaml.safe_load(study.read_text("utf-8"))["space"]["batch_size"] == [1]
    workload = loaded(study)
    assert workload.layout.inputs == {"input": None} and workload.layout.outputs == {"output": None}
    assert workload.data.test.targets.shape == (24, 4, 4)


def test_a_changed_weights_file_is_another_workload(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    model, data = bring(tmp_path, external_data, rng)
    study = paretune.onnx_study(
        model, data, labels="input", metric="mse", folder=tmp_path / "study"
    )
    before = loaded(study).info.fingerprint
    weights = tmp_path / "weights.bin"
    weights.write_bytes(weights.read_bytes()[::-1])
    assert loaded(study).info.fingerprint != before


def test_the_layer_behind_an_outlier_is_the_most_sensitive(rng: np.random.Generator) -> None:
    feeds = [{"input": row[None]} for row in samples(rng)["input"]]
    state = rng.bit_generator.state
    plain = perceptron(rng)
    rng.bit_generator.state = state
    collapsing = perceptron(rng, outlier=1000.0)
    static, only_weights = Quantization.INT8_STATIC.record, Quantization.INT8_WEIGHT.record
    before, after = (rounding_errors(model, feeds, static) for model in (plain, collapsing))
    assert after["layer2"] > 100 * before["layer2"]
    assert max(after, key=after.__getitem__) == "layer2"
    assert rounding_errors(collapsing, feeds, only_weights)["layer2"] < after["layer2"] / 2


@pytest.mark.slow
def test_a_collapse_is_repaired_and_the_layer_named(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    def make(path: Path, rng: np.random.Generator) -> Samples:
        onnx.save(perceptron(rng, outlier=1000.0), path)
        return samples(rng)

    model, data = bring(tmp_path, make, rng)
    study = quick_study(
        tmp_path,
        model,
        data,
        space={
            "quantization": ["fp32", "int8-static"],
            "fp32_layer_share": [0.0, 0.3],
            "execution_provider": ["CPUExecutionProvider"],
        },
        strategy={"sampler": "exhaustive"},
    )
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    found = {record.candidate.build.scheme: record for record in history.measured}
    assert set(found) == {"fp32", "int8-static", "int8-static but 30%"}
    collapsed, repaired = found["int8-static"], found["int8-static but 30%"]
    lost, left = (1 - r.metrics["cosine_similarity"] for r in (collapsed, repaired))
    assert lost > 0.05 and left < lost / 4
    assert repaired.metrics["size_bytes"] < found["fp32"].metrics["size_bytes"]
    lineage = [*repaired.lineage]
    assert lineage == ["import-model", "quantize"]


def test_qualities() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    classes = np.array([1, 0, 0])
    assert accuracy(scores, classes) == pytest.approx(2 / 3)
    assert accuracy(classes, classes[:, None].ravel()) == 1.0
    assert accuracy(scores, scores) == 1.0
    assert f1(scores, classes) == pytest.approx(2 / 3)
    assert negative_mse(scores[:, 0], scores[:, 0] + 2) == pytest.approx(-4)
    assert cosine_similarity(scores, 3 * scores) == pytest.approx(1.0)
    assert cosine_similarity(scores, np.zeros_like(scores)) == 0.0
    with pytest.raises(WorkloadError, match="fit no labels"):
        accuracy(np.zeros((3, 4, 2)), classes)


@pytest.mark.slow
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_models_of_every_make_end_with_a_frontier(
    tmp_path: Path, rng: np.random.Generator, make: Make
) -> None:
    model, data = bring(tmp_path, make, rng)
    study = quick_study(tmp_path, model, data, budget={"trials": 16})
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    history = paretune.status(study)
    tried = {record.candidate.build.quantization for record in history.measured}
    refused = {r.candidate.build.quantization: r.failure for r in history.failed if r.failure}
    print(f"{make.__name__}: measured {sorted(tried)}")
    for scheme, failure in sorted(refused.items()):
        print(f"    {scheme}: {failure.kind}: {failure.message}")
        assert failure.kind in ("unsupported", "invalid"), failure.message
    assert history.frontier
