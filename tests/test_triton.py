"""The Triton repository, read with the schema that NVIDIA's own client carries."""

import importlib.util
import json
from importlib.metadata import files
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import text_format

from paretune.search.deliver.targets.triton import config_pbtxt, write_triton
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


def manifest(batch_size: int = 8, first: Any = "batch", **run: Any) -> dict[str, Any]:
    return {
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


def test_batch_size_threads_and_tensors_are_those_of_the_pick(schema: ModuleType) -> None:
    config = text_format.Parse(config_pbtxt(manifest(), 'a "name"'), schema.ModelConfig())
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
        manifest(session_options=session),
        manifest(session_options=session, execution_provider=provider),
    ):
        config = text_format.Parse(config_pbtxt(values, "m"), schema.ModelConfig())
        has_level = config.optimization.HasField("graph")
        assert (config.optimization.graph.level if has_level else None) == triton_level


def test_a_batch_of_one_waits_for_no_other(schema: ModuleType) -> None:
    config = text_format.Parse(config_pbtxt(manifest(batch_size=1), "m"), schema.ModelConfig())
    assert config.max_batch_size == 1 and not config.HasField("dynamic_batching")


def test_a_fixed_batch_is_part_of_the_shape(schema: ModuleType) -> None:
    config = text_format.Parse(config_pbtxt(manifest(first=8), "m"), schema.ModelConfig())
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
    text = config_pbtxt(manifest(runtime=runtime, execution_provider=provider), "m")
    config = text_format.Parse(text, schema.ModelConfig())
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
        config_pbtxt(manifest(runtime=runtime, execution_provider=provider), "m")


def test_a_second_pick_is_the_next_version(tmp_path: Path, schema: ModuleType) -> None:
    bundle, repository = tmp_path / "bundle", tmp_path / "repository"
    bundle.mkdir()
    (bundle / "model.onnx").write_bytes(b"one")
    (bundle / "manifest.json").write_text(json.dumps(manifest()), "utf-8")
    write_triton(bundle, repository, "digits")
    (bundle / "model.onnx").write_bytes(b"two")
    path = write_triton(bundle, repository, "digits")
    text_format.Parse(path.read_text("utf-8"), schema.ModelConfig())
    kept = {v.parent.name: v.read_bytes() for v in repository.glob("digits/*/model.onnx")}
    assert kept == {"1": b"one", "2": b"two"}
