import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import IRIS
from onnx_models import onnx_answers

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built, Training
from paretune.runners.build.epoch_time import epoch_seconds
from paretune.runners.build.plan import plan
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.model_file import FP32_LAYERS
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import BuildSpec, Quantization, StoreError, WorkloadError

switch_off_telemetry()


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    return Builder(LoadedWorkload(f"{IRIS}:Iris", IRIS.parent), store)


def build(builder: Builder, student: str, ratio: float, quantization: str) -> Built:
    built = builder.build(BuildSpec(student, ratio, Quantization(quantization)))
    assert isinstance(built, Built), built
    return built


def model(builder: Builder, built: Built) -> Path:
    path = builder.store.get(built.artifact)
    assert path is not None
    return path


def outputs(builder: Builder, built: Built, inputs: np.ndarray) -> np.ndarray:
    path = model(builder, built)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"input": inputs})[0])


def test_stages_of_a_build() -> None:
    spec = BuildSpec("small", 0.5, Quantization.INT8_STATIC)
    recipe = Recipe(distill_epochs=20, fine_tune_epochs=2)
    steps = dict(plan(spec, recipe))
    names = ["reference", "distill-short", "distill", "prune", "fine-tune", "export", "quantize"]
    assert list(steps) == names
    assert steps["distill-short"]["epochs"] + steps["distill"]["epochs"] == 20
    skeleton = [stage for stage, _ in plan(spec, recipe, is_skeleton=True)]
    assert skeleton == ["reference", "skeleton", "prune", "export", "quantize"]
    baseline = BuildSpec("reference", 0.0, Quantization.FP32)
    assert [stage for stage, _ in plan(baseline, recipe)] == ["reference", "export"]


def test_training_continues_from_its_short_part(builder: Builder, tmp_path: Path) -> None:
    builder = Builder(builder.loaded, ArtifactStore(tmp_path))  # nothing is trained there yet
    spec = BuildSpec("small", 0.25, Quantization.FP32)
    assert builder.missing(spec)[:2] == ["reference", "distill-short"]
    short = builder.train(spec, "distill-short")
    assert isinstance(short, Training)
    assert set(short.stage_quality) == {"distill-short"}
    whole = builder.train(spec, "distill")
    assert isinstance(whole, Training)
    assert set(whole.stage_seconds) == {"distill"}
    assert whole.stage_quality["distill-short"] == short.stage_quality["distill-short"]
    assert builder.missing(spec) == ["prune", "fine-tune", "export"]


def test_a_skeleton_has_the_operators_of_the_real_model(builder: Builder) -> None:
    def operators(built: Built) -> list[tuple[str, list[int]]]:
        graph = onnx.load(model(builder, built)).graph
        shapes = sorted((weight.name, list(weight.dims)) for weight in graph.initializer)
        return [(node.op_type, []) for node in graph.node] + [("", dims) for _, dims in shapes]

    for ratio, quantization in ((0.0, "fp32"), (0.5, "fp32"), (0.5, "int8-static")):
        spec = BuildSpec("small", ratio, Quantization(quantization))
        skeleton, real = builder.build(spec, is_skeleton=True), builder.build(spec)
        assert isinstance(skeleton, Built) and isinstance(real, Built)
        assert "distill" not in {record.stage for record in skeleton.lineage}
        assert operators(skeleton) == operators(real)
        assert skeleton.artifact != real.artifact


def test_no_stage_runs_twice(builder: Builder) -> None:
    first = build(builder, "reference", 0.5, "int8-static")
    assert "quantize" in first.stage_seconds
    again = build(builder, "reference", 0.5, "int8-static")
    assert dict(again.stage_seconds) == {}
    assert again.artifact == first.artifact
    other = build(builder, "reference", 0.5, "int8-dynamic")
    assert set(other.stage_seconds) == {"quantize"}


def test_a_second_builder_reuses_the_store(builder: Builder) -> None:
    first = build(builder, "reference", 0.0, "fp32")
    again = Builder(LoadedWorkload(f"{IRIS}:Iris", IRIS.parent), builder.store)
    built = build(again, "reference", 0.0, "fp32")
    assert built.artifact == first.artifact and not built.stage_seconds


def test_a_damaged_artifact_is_built_again(builder: Builder) -> None:
    first = build(builder, "small", 0.0, "fp32")
    model(builder, first).write_bytes(b"rubbish")
    again = build(builder, "small", 0.0, "fp32")
    assert set(again.stage_seconds) == {"export"}
    onnx.checker.check_model(model(builder, again))


def test_exported_file_takes_any_batch_and_has_the_models_answers(builder: Builder) -> None:
    built = build(builder, "reference", 0.0, "fp32")
    inputs = builder.loaded.data.validation.inputs
    together = outputs(builder, built, inputs)
    alone = np.concatenate([outputs(builder, built, inputs[i : i + 1]) for i in range(len(inputs))])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert builder.loaded.score(together, "validation") > 0.8


def test_pruning_and_distilling_make_files_smaller(builder: Builder) -> None:
    reference = build(builder, "reference", 0.0, "fp32")
    pruned = build(builder, "reference", 0.5, "fp32")
    student = build(builder, "small", 0.0, "fp32")
    sizes = [builder.store.model_bytes(each.artifact) for each in (student, pruned, reference)]
    assert sizes == sorted(set(sizes))
    widths = [
        list(t.dims)
        for t in onnx.load(model(builder, pruned)).graph.initializer
        if len(t.dims) == 2
    ]
    assert [32, 4] in widths and [32, 32] in widths


def test_quantization_aware_training_is_a_stage_before_static_int8(builder: Builder) -> None:
    spec = BuildSpec("small", 0.5, Quantization.INT8_QAT)
    names = [stage for stage, _ in plan(spec, Recipe(distill_epochs=2, fine_tune_epochs=2))]
    assert names == ["reference", "distill", "prune", "fine-tune", "qat", "export", "quantize"]
    adapted = build(builder, "small", 0.5, "int8-qat")
    assert len(adapted.train_losses["qat"]) == builder.recipe.qat_epochs
    operators = {node.op_type for node in onnx.load(model(builder, adapted)).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    inputs = builder.loaded.data.validation.inputs
    quality = builder.loaded.score(outputs(builder, adapted, inputs), "validation")
    # What the simulation promised is what the file gives: a handful of samples apart.
    assert abs(quality - adapted.stage_quality["qat"]) < 0.05
    skeleton = builder.build(spec, is_skeleton=True)
    plain = builder.build(BuildSpec("small", 0.5, Quantization.INT8_STATIC), is_skeleton=True)
    assert isinstance(skeleton, Built) and isinstance(plain, Built)
    assert skeleton.artifact == plain.artifact  # rounding in training does not change the graph


OWN_LOOP = """
import torch
from torch import nn
from iris_workload import Iris
class Own(Iris):
    def train(self, model, data, *, epochs, peak_learning_rate, seed, teacher_logits=None):
        with open("calls.txt", "a") as calls:
            print(epochs, teacher_logits is not None, model.training, file=calls)
        inputs, targets = map(torch.from_numpy, (data.train.inputs, data.train.targets))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(40):
            losses.append(nn.functional.cross_entropy(model(inputs), targets))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        return losses[-2:]
"""


def test_a_training_loop_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(IRIS.parent))
    (tmp_path / "own.py").write_text(OWN_LOOP, "utf-8")
    loaded = LoadedWorkload("own.py:Own", tmp_path)
    assert epoch_seconds(loaded) == {}
    own = Builder(loaded, ArtifactStore(tmp_path / "store"))
    built = build(own, "small", 0.5, "int8-qat")
    recipe = loaded.workload.recipe()
    short, whole = recipe.short_epochs(recipe.distill_epochs), recipe.distill_epochs
    assert (tmp_path / "calls.txt").read_text().splitlines() == [
        f"{recipe.reference_epochs} False True",
        *(f"{epochs} True True" for epochs in (short, whole - short, recipe.fine_tune_epochs)),
        f"{recipe.qat_epochs} True True",
    ]
    assert len(built.train_losses["distill"]) == 2
    validation = loaded.data.validation
    assert loaded.score(outputs(own, built, validation.inputs), "validation") > 0.7


SEVERAL = """
import numpy as np
import torch
from dataclasses import replace
from torch import nn
from iris_workload import Iris
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.table = nn.Embedding(10, width)
        self.hidden = nn.Linear(2, width)
        self.more = nn.Linear(width, width)
        self.last = nn.Linear(width, 3)
    def forward(self, petal, sepal):
        lengths = self.table(sepal).mean(dim=1)
        return self.last(torch.relu(self.more(torch.relu(self.hidden(petal) + lengths))))
class Several(Iris):
    def models(self):
        return {"reference": lambda: Net(64), "small": lambda: Net(32)}
    def recipe(self):
        many = {"reference_epochs": 60, "distill_epochs": 60, "fine_tune_epochs": 30}
        return replace(super().recipe(), **many)
    def data(self):
        data = super().data()
        def split(each):
            sepal = each.inputs[:, :2].round().astype(np.int64)
            return replace(each, inputs=each.inputs[:, 2:].copy(), further_inputs=(sepal,))
        names = ("train", "calibration", "validation", "test")
        return replace(data, **{name: split(getattr(data, name)) for name in names})
"""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    folder = tmp_path_factory.mktemp("several")
    (folder / "several.py").write_text(SEVERAL, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(IRIS.parent))
        loaded = LoadedWorkload("several.py:Several", folder)
        yield Builder(loaded, ArtifactStore(folder / "store"))


@pytest.mark.parametrize("quantization", ["fp32", "int8-static", "int8-qat"])
def test_a_model_of_several_inputs(several: Builder, quantization: str) -> None:
    built = build(several, "small", 0.5, quantization)
    validation = several.loaded.data.validation
    answers = onnx_answers(model(several, built), validation.all_inputs)
    assert several.loaded.score(answers, "validation") > 0.6


SHORT_LANGID = """
import importlib.util
from dataclasses import replace
from pathlib import Path
import numpy as np
spec = importlib.util.spec_from_file_location("langid_workload", Path({path!r}))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
class Short(module.LangId):
    def data(self):
        data = super().data()
        return replace(data, train=data.train.take(np.arange(256)))
    def recipe(self):
        return replace(super().recipe(), reference_epochs=1, fine_tune_epochs=1)
"""


@pytest.mark.slow
def test_pruning_removes_whole_heads_of_attention(tmp_path: Path) -> None:
    path = IRIS.parents[1] / "experiments" / "langid" / "workload.py"
    (tmp_path / "short.py").write_text(SHORT_LANGID.format(path=str(path)), "utf-8")
    builder = Builder(LoadedWorkload("short.py:Short", tmp_path), ArtifactStore(tmp_path / "s"))
    whole = build(builder, "reference", 0.0, "fp32")
    pruned = build(builder, "reference", 0.5, "fp32")
    small, large = (builder.store.model_bytes(each.artifact) for each in (pruned, whole))
    assert small < 0.4 * large
    widths = [
        list(t.dims)
        for t in onnx.load(model(builder, pruned)).graph.initializer
        if len(t.dims) == 2
    ]
    # Of 4 heads of 32 two are left in each of 4 blocks, of the 512 units of a perceptron 256.
    assert widths.count([64, 64]) == 16 and widths.count([64, 256]) == 4
    tokens = builder.loaded.data.validation.inputs
    assert outputs(builder, pruned, tokens).shape == (2000, 36)
    int4 = build(builder, "reference", 0.5, "int4-weight")
    kinds = {tensor.data_type for tensor in onnx.load(model(builder, int4)).graph.initializer}
    assert kinds & {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}


@pytest.mark.parametrize(
    ("quantization", "operators"),
    [
        ("fp16", {"Cast"}),
        ("int8-static", {"QuantizeLinear", "DequantizeLinear"}),
        ("int8-layers", {"QuantizeLinear", "DequantizeLinear"}),
        ("int8-transformer", {"QuantizeLinear", "DequantizeLinear"}),
        ("int8-dynamic", {"DynamicQuantizeLinear", "MatMulInteger"}),
        ("int8-weight", {"DequantizeLinear"}),
        ("int4-weight", {"DequantizeLinear"}),
    ],
)
def test_each_quantization_is_real_and_runs(
    builder: Builder, quantization: str, operators: set[str]
) -> None:
    built = build(builder, "reference", 0.0, quantization)
    graph = onnx.load(model(builder, built)).graph
    assert operators <= {node.op_type for node in graph.node}
    narrow = {
        "fp16": {onnx.TensorProto.FLOAT16},
        "int4-weight": {onnx.TensorProto.INT4, onnx.TensorProto.UINT4},
    }.get(quantization, {onnx.TensorProto.INT8, onnx.TensorProto.UINT8})
    assert narrow & {tensor.data_type for tensor in graph.initializer}
    inputs = builder.loaded.data.validation.inputs
    assert builder.loaded.score(outputs(builder, built, inputs), "validation") > 0.5


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_every_layer_that_is_not_left_out_runs_in_integers(
    builder: Builder, tmp_path: Path, share: float
) -> None:
    built = builder.build(BuildSpec("reference", 0.0, Quantization.INT8_STATIC, share))
    assert isinstance(built, Built)
    path = model(builder, built)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    stored = {tensor.name for tensor in graph.initializer}
    layers = Counter(node.op_type for node in graph.node if "Gemm" in node.op_type)
    notes = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    left = notes.get(FP32_LAYERS, "").split()
    assert len(left) == round(share * layers.total())
    assert layers["QGemm"] == layers.total() - len(left) > 0
    # Weights are not made fp32 in every call.
    for node in graph.node:
        assert node.op_type != "DequantizeLinear" or node.input[0] not in stored


def failure_of(name: str, spec: BuildSpec, folder: Path) -> Failure:
    """Build a specification of a workload that cannot, and return the failure."""
    workload = LoadedWorkload(f"{IRIS}:{name}", IRIS.parent)
    failure = Builder(workload, ArtifactStore(folder / "store")).build(spec)
    assert isinstance(failure, Failure)
    return failure


def test_a_stage_that_cannot_is_a_failure_with_the_reason(tmp_path: Path) -> None:
    failure = failure_of("Unprunable", BuildSpec("small", 0.5, Quantization.FP32), tmp_path)
    assert (failure.stage, failure.kind) == ("prune", FailureKind.UNSUPPORTED)
    assert "named by keep_layers()" in failure.message


def test_a_stage_that_raises_is_a_failure(tmp_path: Path) -> None:
    failure = failure_of("Broken", BuildSpec("reference", 0.0, Quantization.FP32), tmp_path)
    assert (failure.stage, failure.kind) == ("reference", FailureKind.CRASH)
    assert "(raise FileNotFoundError" in failure.message  # the workload's own line
    assert "checkpoint.pt is not there" in failure.message


@pytest.mark.parametrize(
    ("raised", "error", "words"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.pt"),
            StoreError,
            "'x.pt'; free some space",
        ),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "x.pt"), StoreError, "Read-only"),
        (
            RuntimeError(f"error while serializing: {os.strerror(errno.EFBIG)} (os error 27)"),
            StoreError,
            "File too large",
        ),
        (
            ModuleNotFoundError("No module named 'timm'"),
            WorkloadError,
            "'timm'; install the missing package",
        ),
    ],
)
def test_what_every_candidate_would_meet_is_no_failure_of_one(
    tmp_path: Path, raised: Exception, error: type[Exception], words: str
) -> None:
    loaded = LoadedWorkload(f"{IRIS}:Iris", IRIS.parent)

    def train(*_: object) -> None:
        raise raised

    loaded.workload.train_reference = train  # type: ignore[method-assign]
    with pytest.raises(error, match=words):
        Builder(loaded, ArtifactStore(tmp_path)).build(
            BuildSpec("reference", 0.0, Quantization.FP32)
        )


def test_two_classes_in_one_file_share_no_builds(builder: Builder) -> None:
    one, other = builder.loaded, LoadedWorkload(f"{IRIS}:Unprunable", IRIS.parent)
    assert one.info.fingerprint != other.info.fingerprint


def test_a_file_that_left_the_store_costs_only_its_own_stage(
    builder: Builder, tmp_path: Path
) -> None:
    root = shutil.copytree(builder.store.root, tmp_path / "store")
    builder = Builder(builder.loaded, ArtifactStore(root))
    built = build(builder, "small", 0.5, "int8-static")
    by_stage = {record.stage: record for record in built.lineage}

    def lose(stage: str) -> None:
        path = builder.store.get(by_stage[stage].output)
        assert path is not None
        path.unlink()

    # What was trained is not needed any more: the last file is there.
    for stage in ("distill", "prune", "fine-tune"):
        lose(stage)
    assert builder.missing(BuildSpec("small", 0.5, Quantization.INT8_STATIC)) == []
    assert build(builder, "small", 0.5, "int8-static").stage_seconds == {}
    lose("quantize")
    assert builder.missing(BuildSpec("small", 0.5, Quantization.INT8_STATIC)) == ["quantize"]
    again = build(builder, "small", 0.5, "int8-static")
    assert set(again.stage_seconds) == {"quantize"}
