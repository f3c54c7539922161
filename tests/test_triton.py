"""The Triton repository, read with the schema that NVIDIA's own client carries."""

import importlib.util
from importlib.metadata import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from served_bundles import write_bundle, write_plan

from paretune.search.deliver.service.point import ServicePoint
from paretune.search.deliver.target import ExportSettings
from paretune.search.deliver.targets.triton import write_triton
from paretune.search.deliver.targets.triton_config import config_pbtxt
from paretune.spaces import StudyError


@pytest.fixture(scope="module")
def schema() -> ModuleType:
    """The client's protobuf classes, loaded by path because the package also needs gRPC."""
    found = [p for p in files("tritonclient") or () if p.name == "model_config_pb2.py"]
    path = next(p.locate() for p in found if p.parent.name == "grpc")
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def point(batch_size: int = 8, first: Any = "batch", name: str = "m", **run: Any) -> ServicePoint:
    manifest = {
        "model": {
            "file": "model.onnx",
            "sha256": "0" * 64,
            "inputs": [{"name": "input", "type": "float", "shape": [first, 1, 8, 8]}],
            "outputs": [{"name": "output", "type": "float16", "shape": [first, 10]}],
        },
        "run": {
            "runtime": "onnxruntime",
            "execution_provider": "CPUExecutionProvider",
            "batch_size": batch_size,
            "session_options": {"intra_op_num_threads": 2, "inter_op_num_threads": 1},
            **run,
        },
    }
    return ServicePoint(Path("bundle"), manifest, None, ExportSettings(name))


def parsed(schema: ModuleType, text: str) -> Any:
    return text_format.Parse(text, schema.ModelConfig())


def test_batch_size_threads_and_tensors_are_those_of_the_pick(schema: ModuleType) -> None:
    config = parsed(schema, config_pbtxt(point(name='a "name"')))
    assert (config.name, config.backend, config.max_batch_size) == ('a "name"', "onnxruntime", 8)
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    assert (config.input[0].name, list(config.input[0].dims)) == ("input", [1, 8, 8])
    assert config.input[0].data_type == schema.TYPE_FP32
    assert (config.output[0].data_type, list(config.output[0].dims)) == (schema.TYPE_FP16, [10])
    assert config.instance_group[0].kind == schema.ModelInstanceGroup.KIND_CPU
    assert config.parameters["intra_op_thread_count"].string_value == "2"


@pytest.mark.parametrize(("level", "triton_level"), [(1, -1), (2, 1), (99, None)])
def test_graph_optimization_is_counted_as_triton_does(
    schema: ModuleType, level: int, triton_level: int | None
) -> None:
    session = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
    session["graph_optimization_level"] = level
    provider = "OpenVINOExecutionProvider"  # has an entry of its own in the same place
    for values in (
        point(session_options=session),
        point(session_options=session, execution_provider=provider),
    ):
        config = parsed(schema, config_pbtxt(values))
        has_level = config.optimization.HasField("graph")
        assert (config.optimization.graph.level if has_level else None) == triton_level


def test_a_batch_of_one_waits_for_no_other(schema: ModuleType) -> None:
    config = parsed(schema, config_pbtxt(point(batch_size=1)))
    assert config.max_batch_size == 1 and not config.HasField("dynamic_batching")


def test_a_fixed_batch_is_part_of_the_shape(schema: ModuleType) -> None:
    config = parsed(schema, config_pbtxt(point(first=8)))
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [8, 1, 8, 8]


@pytest.mark.parametrize(
    ("runtime", "provider", "backend", "kind", "accelerator"),
    [
        ("onnxruntime", "CUDAExecutionProvider", "onnxruntime", "KIND_GPU", None),
        ("onnxruntime", "TensorrtExecutionProvider", "onnxruntime", "KIND_GPU", "tensorrt"),
        ("onnxruntime", "OpenVINOExecutionProvider", "onnxruntime", "KIND_CPU", "openvino"),
        ("openvino", "CPU", "openvino", "KIND_CPU", None),
    ],
)
def test_each_provider_that_triton_has(
    schema: ModuleType,
    runtime: str,
    provider: str,
    backend: str,
    kind: str,
    accelerator: str | None,
) -> None:
    text = config_pbtxt(point(runtime=runtime, execution_provider=provider))
    config = parsed(schema, text)
    assert config.backend == backend
    assert schema.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind) == kind
    accelerators = config.optimization.execution_accelerators
    used = [
        *accelerators.gpu_execution_accelerator,
        *accelerators.cpu_execution_accelerator,
    ]
    assert [each.name for each in used] == ([accelerator] if accelerator else [])


@pytest.mark.parametrize(
    ("runtime", "provider", "reason"),
    [
        ("pytorch", "cpu", "this point runs on pytorch"),
        ("onnxruntime", "XnnpackExecutionProvider", "has no XnnpackExecutionProvider"),
    ],
)
def test_what_triton_has_not_is_refused(runtime: str, provider: str, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        config_pbtxt(point(runtime=runtime, execution_provider=provider))


def test_a_second_pick_is_the_next_version(tmp_path: Path, schema: ModuleType) -> None:
    bundle, repository = write_bundle(tmp_path / "bundle"), tmp_path / "repository"
    write_triton(bundle, repository, ExportSettings("digits"))
    (bundle / "model.onnx").write_bytes(b"two")
    path = write_triton(bundle, repository, ExportSettings("digits"))
    parsed(schema, path.read_text("utf-8"))
    kept = {v.parent.name: v.read_bytes() for v in repository.glob("digits/*/model.onnx")}
    assert set(kept) == {"1", "2"} and kept["1"] != b"two" and kept["2"] == b"two"


def test_the_serving_plan_decides_instances_batch_and_delay(
    tmp_path: Path, schema: ModuleType
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    write_plan(bundle, threads=3)
    path = write_triton(bundle, tmp_path / "r", ExportSettings("toy", hit_rate=0.5))
    config = parsed(schema, path.read_text("utf-8"))
    assert config.instance_group[0].count == 2 and config.max_batch_size == 8
    assert config.dynamic_batching.max_queue_delay_microseconds == 3000
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    assert config.response_cache.enable
    assert "--cache-config" in (path.parent / "NOTES.md").read_text("utf-8")


def test_without_a_plan_the_delay_is_what_the_budget_leaves(
    tmp_path: Path, schema: ModuleType
) -> None:
    bundle = write_bundle(tmp_path / "bundle")  # the p95 of a call is 2 ms
    for budget, delay_us in ((12.0, 10_000), (1.0, 0), (None, 0)):
        settings = ExportSettings("toy", max_latency_ms=budget)
        path = write_triton(bundle, tmp_path / "r", settings)
        config = parsed(schema, path.read_text("utf-8"))
        assert config.dynamic_batching.max_queue_delay_microseconds == delay_us
        assert config.instance_group[0].count == 1
        assert not config.HasField("response_cache")


@pytest.mark.parametrize(
    ("changes", "shapes"),
    [
        ({}, {"input": [4]}),
        ({"batch": 5}, {"input": [5, 4]}),
        ({"axis": 1}, {"input": [4, 1]}),
        ({"scaled": True}, {"input": [1, 4], "scale": [1]}),
    ],
)
def test_a_sample_of_the_bundle_warms_it_up(
    tmp_path: Path,
    schema: ModuleType,
    changes: dict[str, Any],
    shapes: dict[str, list[int]],
) -> None:
    bundle = write_bundle(tmp_path / "bundle", **changes)
    path = write_triton(bundle, tmp_path / "r", ExportSettings("toy"))
    [warm_up] = parsed(schema, path.read_text("utf-8")).model_warmup
    assert warm_up.batch_size == 1
    assert {name: list(each.dims) for name, each in warm_up.inputs.items()} == shapes
    for name, each in warm_up.inputs.items():
        content = (path.parent / "warmup" / each.input_data_file).read_bytes()
        array = np.frombuffer(content, np.float32).reshape(list(each.dims))
        if name == "scale":
            assert array.tolist() == [2.0]
        else:
            first = np.load(bundle / "inputs.npy")[: changes.get("batch", 1)]
            expected = np.moveaxis(first, 0, changes.get("axis", 0)).reshape(array.shape)
            np.testing.assert_array_equal(array, expected)
