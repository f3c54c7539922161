"""Inputs and outputs of ONNX files that are not samples along the first axis."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import QUICK_CONFIRMATION, run_paretune
from onnx import TensorProto, helper, numpy_helper
from onnx_models import SAMPLES, WIDTH, finished, perceptron, samples, weight
from test_onnx_workload import loaded, quick_study

import paretune
from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.formats import FORMATS
from paretune.runners.measure.model_setup import ModelSetup
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.onnx_files.answers import answers_of
from paretune.runners.workload.onnx_files.layout import Constant, Layout
from paretune.spaces import BuildSpec, ParetuneError, Quantization, WorkloadError


def value(name: str, kind: int, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: list[TensorProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> Path:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def streaming(path: Path, rng: np.random.Generator) -> Path:
    """A voice detector: audio, a state whose batch axis is the second, and the sample rate."""
    nodes = [
        helper.make_node("Cast", ["sr"], ["rate"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["rate", "usual"], ["factor"]),
        helper.make_node("MatMul", ["input", "w1"], ["h"]),
        helper.make_node("Mul", ["h", "factor"], ["scaled"]),
        helper.make_node("Gather", ["state", "zero"], ["old"], axis=0),
        helper.make_node("Add", ["scaled", "old"], ["now"]),
        helper.make_node("Unsqueeze", ["now", "first"], ["one"]),
        helper.make_node("Concat", ["one", "one"], ["stateN"], axis=0),
        helper.make_node("MatMul", ["now", "w2"], ["output"]),
    ]
    weights = [
        weight("w1", WIDTH, 8, rng=rng),
        weight("w2", 8, 4, rng=rng),
        numpy_helper.from_array(np.float32(16000), "usual"),
        numpy_helper.from_array(np.array(0), "zero"),
        numpy_helper.from_array(np.array([0]), "first"),
    ]
    floats, free = TensorProto.FLOAT, "batch"
    return save(
        path,
        nodes,
        weights,
        [
            value("input", floats, [free, WIDTH]),
            value("state", floats, [2, free, 8]),
            value("sr", TensorProto.INT64, []),
        ],
        [value("output", floats, [free, 4]), value("stateN", floats, [2, free, 8])],
    )


def state(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((2, SAMPLES, 8)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> Path:
    return streaming(tmp_path / "model.onnx", rng)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "samples.npz"


def test_a_state_and_a_number_are_seen_by_their_shapes(
    tmp_path: Path, model: Path, data: Path, rng: np.random.Generator
) -> None:
    given = {"input": samples(rng)["input"], "state": state(rng)}
    np.savez(data, **given, sr=np.array(16000))
    workload = loaded(paretune.onnx_study(model, data, folder=tmp_path / "study"))
    assert workload.layout.inputs == {"input": 0, "state": 1}
    assert workload.layout.constants == {"sr": Constant("int64", 16000)}
    assert workload.layout.outputs == {"output": 0, "stateN": 1}
    assert {n: a.shape for n, a in workload.data.test.targets.items()} == {
        "output": (24, 4),
        "stateN": (24, 2, 8),
    }
    # Samples first, and calls as they were recorded, say the same once the axis is known.
    for array in (np.moveaxis(given["state"], 1, 0), np.moveaxis(given["state"], 1, 0)[:, :, None]):
        np.savez(data, input=given["input"], state=array)
        study = paretune.onnx_study(
            model,
            data,
            constants={"sr": 16000},
            batch_axes={"state": 1},
            folder=tmp_path / f"study{array.ndim}",
        )
        other = loaded(study)
        for name, targets in other.data.test.targets.items():
            np.testing.assert_array_equal(targets, workload.data.test.targets[name])


def test_a_number_must_be_known(
    tmp_path: Path, model: Path, data: Path, rng: np.random.Generator
) -> None:
    np.savez(data, input=samples(rng)["input"], state=state(rng))
    with pytest.raises(ParetuneError, match=r"no array 'sr'.*set it with --constant sr=VALUE"):
        paretune.onnx_study(model, data)
    for options, says in (
        ({"constants": {"rate": 1}}, "--constant names 'rate', but the inputs"),
        ({"constants": {"sr": 0.5}}, r"--constant sr=0.5: the model takes int64\[\]"),
        ({"batch_axes": {"state": 3}}, "axes are 0 to 2"),
        ({"shapes": {"state": [2, 1, 9]}}, r"the model takes \[2, 'batch', 8\]"),
        ({"constants": {"sr": 1}, "outputs": ["out"]}, "--output names 'out'"),
    ):
        with pytest.raises(ParetuneError, match=says):
            loaded(paretune.onnx_study(model, data, folder=tmp_path / says[:9], **options))


def test_quantized_files_have_constants_built_in(
    tmp_path: Path, model: Path, data: Path, rng: np.random.Generator
) -> None:
    np.savez(data, input=samples(rng)["input"], state=state(rng), sr=np.array(8000))
    workload = loaded(paretune.onnx_study(model, data, folder=tmp_path / "study"))
    builder = Builder(workload, ArtifactStore(tmp_path / "store"))
    for scheme, inputs in (("fp32", 3), ("fp16", 2), ("int8-static", 2), ("int8-dynamic", 2)):
        built = builder.build(BuildSpec("reference", 0.0, Quantization(scheme), 0.0))
        assert isinstance(built, Built), built
        path, artifact = builder.store.get(built.artifact), builder.store.artifact(built.artifact)
        assert path is not None and artifact is not None
        assert len(artifact.inputs) == inputs
        found = answers_of(path, workload.data.test.all_inputs, workload.layout)
        for name, right in workload.data.test.targets.items():
            assert np.abs(found[name] - right).max() < 0.2 * np.abs(right).max()
    # Another value is another file: it is part of what the stage is known by.
    np.savez(data, input=samples(rng)["input"], state=state(rng))
    other = loaded(paretune.onnx_study(model, data, constants={"sr": 1}, folder=tmp_path / "other"))
    [_, (stage, params)] = Builder(other, builder.store)._plan(BuildSpec("reference", 0.0, "fp16"))
    assert stage == "quantize" and params["constants"] == {"sr": 1}


def test_openvinos_model_says_which_inputs_are_built_in(
    tmp_path: Path, model: Path, data: Path, rng: np.random.Generator
) -> None:
    pytest.importorskip("openvino")
    np.savez(data, input=samples(rng)["input"], state=state(rng), sr=np.array(8000))
    workload = loaded(paretune.onnx_study(model, data, folder=tmp_path / "study"))
    builder = Builder(workload, ArtifactStore(tmp_path / "store"))
    spec = BuildSpec("reference", 0.0, Quantization("openvino-int8-weight"), 0.0)
    built = builder.build(spec, "openvino")
    assert isinstance(built, Built), built
    path = builder.store.get(built.artifact)
    assert path is not None
    told = FORMATS.get("openvino").says_of(path)
    assert told["constants"] == {"sr": 8000} and len(told["inputs"]) == 2


@pytest.mark.slow
def test_it_is_searched_picked_and_verified(
    tmp_path: Path, model: Path, data: Path, rng: np.random.Generator
) -> None:
    np.savez(data, input=samples(rng)["input"], state=state(rng), sr=np.array(16000))
    space = {
        "quantization": ["fp32", "int8-dynamic"],
        "batch_size": [8],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
    }
    study = quick_study(
        tmp_path,
        model,
        data,
        space=space,
        strategy={"sampler": "exhaustive"},
        confirmation=QUICK_CONFIRMATION,
    )
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    assert history.baseline
    assert history.baseline.metrics["cosine_similarity"] == pytest.approx(1.0)
    assert len(history.measured) >= 4
    assert all(each.metrics["cosine_similarity"] > 0.99 for each in history.measured)
    picked = paretune.pick(study, measure=False, out=tmp_path / "picked")
    manifest = json.loads((tmp_path / "picked" / "manifest.json").read_text("utf-8"))
    assert manifest["layout"]["inputs"] == {"input": 0, "state": 1}
    card = (tmp_path / "picked" / "README.md").read_text("utf-8")
    is_built_in = picked.record.candidate.build.quantization != "fp32"
    assert ("the input sr is built in as 16000" in card) == is_built_in
    verdict = paretune.verify(tmp_path / "picked").verdict.name
    assert verdict in ("AS_PROMISED", "SLOWER", "FASTER", "CANNOT_TELL")


@pytest.mark.slow
def test_measure_makes_random_samples_for_it(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ParetuneError, match="is a single value: set it with --constant sr=VALUE"):
        ModelSetup().samples(model, tmp_path, 2)
    made = ModelSetup(constants={"sr": 16000}).samples(model, tmp_path, 8)
    assert [np.load(file).shape for file in made.inputs] == [(64, WIDTH), (64, 2, 8)]
    assert made.layout == Layout({"input": 0, "state": 1}, {"sr": Constant("int64", 16000)})
    done = run_paretune("measure", model, "--quick", "--constant", "sr=16000", "--batch-size", "8")
    assert done.returncode == 0, done.stdout + done.stderr


def test_dimensions_without_a_name_can_be_given_a_size(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(perceptron(rng), path)
    changed = onnx.load(path)
    for dimension in changed.graph.input[0].type.tensor_type.shape.dim:
        dimension.Clear()
    onnx.save(changed, path)
    with pytest.raises(ParetuneError, match=r"--dim input:1=SIZE.*--shape input=NxH"):
        ModelSetup().samples(path, tmp_path, 2)
    with pytest.raises(ParetuneError, match=r"--dim names 'NAME'.*input:0, input:1"):
        ModelSetup(dimensions={"NAME": 8}).samples(path, tmp_path, 2)
    for setup in (ModelSetup(dimensions={"input:1": 32}), ModelSetup(shapes={"input": [1, 32]})):
        [file] = setup.samples(path, tmp_path, 2).inputs
        assert np.load(file).shape == (64, 32)


@pytest.mark.parametrize("kind", ["text", "objects", "one", "none"])
def test_files_that_hold_no_samples(
    tmp_path: Path, data: Path, rng: np.random.Generator, kind: str
) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(perceptron(rng), model)
    if kind == "text":
        data.write_text("1, 2, 3")
    elif kind == "objects":
        np.savez(data, input=np.array([{}, {}], object))
    elif kind == "one":
        np.savez(data, input=np.float32(1))
    else:
        np.savez(data, input=np.zeros((0, WIDTH), np.float32))
    says = {"one": "the model takes float32", "none": "at least one"}.get(kind, "numpy.savez")
    with pytest.raises(ParetuneError, match=says):
        ModelSetup(data=data).samples(model, tmp_path, 2)


def test_a_folder_of_arrays_is_as_good_as_a_file(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paretune.runners.workload import model_file
    from paretune.runners.workload.datasets.arrays import is_mapped

    model, folder = tmp_path / "model.onnx", tmp_path / "samples"
    onnx.save(perceptron(rng), model)
    folder.mkdir()
    np.save(folder / "input.npy", samples(rng)["input"])
    whole = loaded(paretune.onnx_study(model, folder, folder=tmp_path / "study")).data
    monkeypatch.setattr(model_file, "_MAPPED_BYTES", 1)
    mapped = loaded(tmp_path / "study" / "study.yaml").data
    assert is_mapped(mapped.test.whole.inputs)
    [one], [other] = whole.test.batches(64), mapped.test.batches(64)
    np.testing.assert_array_equal(one.inputs["input"], other.inputs["input"])
    np.testing.assert_array_equal(one.targets, other.targets)


@pytest.mark.slow
def test_time_is_not_taken_for_samples(
    tmp_path: Path, data: Path, rng: np.random.Generator
) -> None:
    lstm = {"w": (1, 64, 8), "r": (1, 64, 16)}
    model = save(
        tmp_path / "tagger.onnx",
        [
            helper.make_node("LSTM", ["frames", "w", "r"], ["all"], hidden_size=16),
            helper.make_node("Squeeze", ["all", "one"], ["flat"]),
            helper.make_node("MatMul", ["flat", "head"], ["tags"]),
        ],
        [
            *(weight(name, *shape, rng=rng) for name, shape in lstm.items()),
            weight("head", 16, 5, rng=rng),
            numpy_helper.from_array(np.array([1]), "one"),
        ],
        [value("frames", TensorProto.FLOAT, ["seq", "batch", 8])],
        [value("tags", TensorProto.FLOAT, ["seq", "batch", 5])],
    )
    np.savez(data, frames=rng.standard_normal((10, 48, 8)).astype(np.float32) * 3)
    study = paretune.onnx_study(model, data, folder=tmp_path / "study")
    with pytest.raises(WorkloadError) as error:
        described(study, tmp_path)
    assert "gives a sample other answers in another batch: 'tags' differs by" in str(error.value)
    assert "it is called 'seq'; 'batch' is axis 1): add --batch-axis frames=1" in str(error.value)
    study = paretune.onnx_study(model, data, batch_axes={"frames": 1}, folder=tmp_path / "study")
    info = described(study, tmp_path)
    assert info.remarks == () and set(info.unfit) == {"fp32-cast"}
    assert loaded(study).layout.outputs == {"tags": 1}


def described(study: Path, tmp_path: Path) -> Any:
    settings = WorkerSettings("workload.py:Model", study.parent, tmp_path / "s", tmp_path / "log")
    with BuildWorker(settings) as worker:
        return worker.describe()


def test_normalization_in_training_mode_is_named(
    tmp_path: Path, data: Path, rng: np.random.Generator
) -> None:
    model = tmp_path / "model.onnx"
    names = ["scale", "shift", "mean", "variance"]
    nodes = [
        helper.make_node(
            "BatchNormalization", ["input", *names], ["n", "m", "v"], "norm", training_mode=1
        ),
        helper.make_node("MatMul", ["n", "w"], ["output"]),
    ]
    ones = [numpy_helper.from_array(np.ones(WIDTH, np.float32), name) for name in names]
    onnx.save(finished(nodes, [*ones, weight("w", WIDTH, 4, rng=rng)], opset=15), model)
    np.savez(data, **samples(rng))
    study = paretune.onnx_study(model, data, folder=tmp_path / "study")
    with pytest.raises(WorkloadError, match=r"norm is in training mode: export .* model.eval\(\)"):
        described(study, tmp_path)


def test_rows_of_all_samples_together_are_not_judged(
    tmp_path: Path, data: Path, rng: np.random.Generator
) -> None:
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["scores"]),
        helper.make_node("NonZero", ["scores"], ["found"]),
        helper.make_node("Transpose", ["found"], ["rows"]),
    ]
    outputs = [
        value("rows", TensorProto.INT64, ["found", 2]),
        value("scores", TensorProto.FLOAT, ["batch", 4]),
    ]
    inputs = [value("input", TensorProto.FLOAT, ["batch", WIDTH])]
    w = [weight("w", WIDTH, 4, rng=rng)]
    np.savez(data, **samples(rng))
    alone = save(tmp_path / "alone.onnx", nodes, w, inputs, outputs[:1])
    with pytest.raises(WorkloadError) as error:
        loaded(paretune.onnx_study(alone, data, folder=tmp_path / "alone"))
    assert "'rows' has the shape [4, 2] for one sample and [12, 2] for 3" in str(error.value)
    assert "['input'], ['scores'])` writes the model without its NonZero" in str(error.value)
    both = save(tmp_path / "both.onnx", nodes, w, inputs, outputs)
    study = paretune.onnx_study(both, data, folder=tmp_path / "both")
    assert loaded(study).layout.outputs == {"scores": 0}
    [remark] = loaded(study).workload.remarks()
    assert remark == "not judged, because they have no axis for the sample: 'rows'"


def test_every_output_is_judged_by_default(
    tmp_path: Path, data: Path, rng: np.random.Generator
) -> None:
    nodes = [
        helper.make_node("MatMul", ["input", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["labels"], axis=1, keepdims=0),
        helper.make_node("MatMul", ["input", "b"], ["boxes"]),
    ]
    outputs = [
        value("labels", TensorProto.INT64, ["batch"]),
        value("boxes", TensorProto.FLOAT, ["batch", 4]),
    ]
    inputs = [value("input", TensorProto.FLOAT, ["batch", WIDTH])]
    weights = [weight("w", WIDTH, 3, rng=rng), weight("b", WIDTH, 4, rng=rng)]
    model = save(tmp_path / "model.onnx", nodes, weights, inputs, outputs)
    right = rng.integers(0, 3, SAMPLES)
    np.savez(data, **samples(rng), right=right)
    study = paretune.onnx_study(model, data, folder=tmp_path / "all")
    workload = loaded(study)
    assert workload.info.quality_metric == "cosine_similarity"
    targets = workload.data.test.targets
    wrong = {"labels": targets["labels"], "boxes": np.zeros_like(targets["boxes"])}
    [metric] = workload.metrics
    metric.update(wrong, targets)
    assert metric.compute() == pytest.approx(0.5)
    study = paretune.onnx_study(model, data, outputs=["labels"], folder=tmp_path / "labels")
    assert loaded(study).info.quality_metric == "accuracy"
    study = paretune.onnx_study(model, data, labels="right", folder=tmp_path / "right")
    [remark] = loaded(study).workload.remarks()
    assert remark.startswith("accuracy judges the output 'labels' alone, not 'boxes'")
    # A study of an earlier version judged the first output, and goes on with it.
    old = tmp_path / "all" / "workload.py"
    old.write_text(old.read_text("utf-8").replace("    outputs = None\n", ""), "utf-8")
    assert loaded(old.with_name("study.yaml")).info.quality_metric == "accuracy"
    assert paretune.onnx_study(model, data, folder=tmp_path / "all") == old.with_name("study.yaml")


def test_labels_of_text_are_looked_up_in_the_file(tmp_path: Path, data: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    values = rng.standard_normal((200, 8)).astype(np.float32)
    names = np.array(["owl", "cat", "dog"])[values[:, :3].argmax(axis=1)]
    classifier = MLPClassifier(16, random_state=0, max_iter=400).fit(values, names)
    model = tmp_path / "model.onnx"
    onnx.save(to_onnx(classifier, values[:1], options={"zipmap": False}), model)
    np.savez(data, X=values, y=names)
    workload = loaded(paretune.onnx_study(model, data, labels="y", folder=tmp_path / "study"))
    assert workload.layout.outputs == {"probabilities": 0}
    assert any("not numbers: 'label'" in remark for remark in workload.workload.remarks())
    targets = workload.data.test.targets
    answers = answers_of(model, workload.data.test.all_inputs, workload.layout)
    assert np.mean(answers["probabilities"].argmax(axis=1) == targets) > 0.9
    np.savez(data, X=values, y=np.where(names == "owl", "bat", names))
    with pytest.raises(WorkloadError, match="no list of class names that holds them all"):
        loaded(tmp_path / "study" / "study.yaml")


def test_sizes_can_be_fixed(tmp_path: Path, data: Path, rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["output"]),
    ]
    free = [value("images", TensorProto.FLOAT, ["n", 3, "height", "width"])]
    made = [value("output", TensorProto.FLOAT, ["n", 4, 1, 1])]
    model = save(
        tmp_path / "model.onnx", nodes, [weight("kernel", 4, 3, 3, 3, rng=rng)], free, made
    )
    np.savez(data, images=rng.standard_normal((16, 3, 12, 10)).astype(np.float32))
    with pytest.raises(ParetuneError, match=r"\[16, 3, 12, 10\], but --shape says \[1, 3, 8, 8\]"):
        paretune.onnx_study(model, data, shapes={"images": [1, 3, 8, 8]})
    study = paretune.onnx_study(
        model, data, shapes={"images": [1, 3, 12, 10]}, folder=tmp_path / "study"
    )
    builder = Builder(loaded(study), ArtifactStore(tmp_path / "store"))
    built = builder.build(BuildSpec("reference", 0.0, "fp32"))
    assert isinstance(built, Built), built
    artifact = builder.store.artifact(built.artifact)
    assert artifact is not None and artifact.inputs[0]["shape"] == ["n", 3, 12, 10]


def test_names_with_brackets_and_spaces_can_be_pasted(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    model, data = tmp_path / "größe [final].onnx", tmp_path / "it's.npz"
    onnx.save(perceptron(rng), model)
    np.savez(data, **samples(rng))
    study = quick_study(tmp_path / "größe [final]", model, data, budget={"trials": 1})
    done = run_paretune("search", "--onnx", model, "--data", data, "--out", study.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"the study is {study}" in done.stdout.replace("\n", "")
    assert f"next: paretune pick '{study}' --max-latency-ms" in done.stdout
