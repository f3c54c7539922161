"""Small bundles of real models, without a study: for tests of what becomes of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from paretune.runners.measure.statistic import Statistic
from paretune.runners.store.artifact import file_digest
from paretune.search.deliver.capacity.serving_plan import ServingPlan

SAMPLES = 20
WIDTH = 4
WIDE = 1536


def write_model(
    path: Path, batch: int | str = "batch", axis: int = 0, scaled: bool = False, layers: int = 0
) -> None:
    """Write a matrix product, or with ``scaled`` one with a second input that scales it.

    Args:
        path: The file.
        batch: The batch's size, or its name for any.
        axis: The axis of the samples, 0 or 1.
        scaled: Whether there is a constant input ``scale``.
        layers: Wide layers behind the product, of about a millisecond each.
    """
    rng = np.random.default_rng(0)
    weights = []
    weight = numpy_helper.from_array(rng.normal(size=(WIDTH, WIDTH)).astype(np.float32), "weight")
    shape = [batch, WIDTH] if axis == 0 else [WIDTH, batch]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
    order = ["input", "weight"] if axis == 0 else ["weight", "input"]
    nodes = [helper.make_node("MatMul", order, ["product" if scaled else "output"])]
    if scaled:
        inputs.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
        nodes.append(helper.make_node("Mul", ["product", "scale"], ["output"]))
    if layers:
        nodes[-1].output[0] = last = "narrow"
        sizes = {"widen": (WIDTH, WIDE), "wide": (WIDE, WIDE), "narrow_again": (WIDE, WIDTH)}
        for name, (rows, columns) in sizes.items():
            values = rng.normal(size=(rows, columns)).astype(np.float32) / rows**0.5
            weights.append(numpy_helper.from_array(values, name))
        for place, name in enumerate(["widen", *["wide"] * layers]):
            nodes.append(helper.make_node("MatMul", [last, name], [f"product {place}"]))
            nodes.append(helper.make_node("Tanh", [f"product {place}"], [f"layer {place}"]))
            last = f"layer {place}"
        nodes.append(helper.make_node("MatMul", [last, "narrow_again"], ["output"]))
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "test", inputs, outputs, [weight, *weights])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def write_bundle(
    folder: Path,
    *,
    runtime: str = "onnxruntime",
    batch: int | str = "batch",
    axis: int = 0,
    scaled: bool = False,
    batch_size: int = 4,
    layers: int = 0,
    **run: Any,
) -> Path:
    """Write a bundle as ``paretune pick --out`` does, of a model with its real answers."""
    folder.mkdir(parents=True)
    model = folder / "model.onnx"
    write_model(model, batch, axis, scaled, layers)
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(SAMPLES, WIDTH)).astype(np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    step = batch if isinstance(batch, int) else SAMPLES
    answers = []
    for start in range(0, SAMPLES, step):
        feed = {"input": np.ascontiguousarray(np.moveaxis(samples[start : start + step], 0, axis))}
        if scaled:
            feed["scale"] = np.array([2.0], np.float32)
        answers.append(np.moveaxis(session.run(None, feed)[0], axis, 0))
    np.save(folder / "inputs.npy", samples)
    np.save(folder / "outputs.npy", np.concatenate(answers))
    shape = [batch, WIDTH] if axis == 0 else [WIDTH, batch]
    inputs = [{"name": "input", "type": "float", "shape": shape}]
    layout: dict[str, Any] = {"inputs": {}, "constants": {}, "outputs": {}, "shapes": {}}
    if axis:
        layout |= {"inputs": {"input": axis}, "outputs": {"output": axis}}
    if scaled:
        inputs.append({"name": "scale", "type": "float", "shape": [1]})
        layout["constants"] = {"scale": {"dtype": "float32", "value": [2.0]}}
    is_openvino = runtime == "openvino"
    options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": "1"}
    options |= {"ENABLE_CPU_PINNING": "NO", "INFERENCE_PRECISION_HINT": "f32"}
    times = {"latency_p50_ms": 1.5, "latency_p95_ms": 2.0, "cpu_time_ms": 1.0}
    times |= {"session_creation_ms": 80.0, "first_inference_ms": 20.0, "peak_memory_bytes": 1e8}
    manifest = {
        "manifest_version": 2,
        "study": "Toy study",
        "trial": 7,
        "model": {
            "file": "model.onnx",
            "sha256": file_digest(model),
            "beside": [],
            "inputs": inputs,
            "outputs": [{"name": "output", "type": "float", "shape": shape}],
        },
        "layout": layout,
        "run": {
            "runtime": runtime,
            "execution_provider": "CPU" if is_openvino else "CPUExecutionProvider",
            "provider_options": options if is_openvino else {},
            "requirements": [],
            "batch_size": batch_size,
            "session_options": {
                "intra_op_num_threads": 1,
                "inter_op_num_threads": 1,
                "graph_optimization_level": 2,
            },
            **run,
        },
        "metrics": {
            name: {"value": value, "low": 0.9 * value, "high": 1.1 * value}
            for name, value in times.items()
        },
        "environment": {
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "python": "3.11.7",
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder


def write_plan(bundle: Path, **changes: Any) -> ServingPlan:
    """Write a serving plan into a bundle: two instances, batches of eight, 90 to 110 per second."""
    values: dict[str, Any] = {
        "max_latency_ms": 20.0,
        "percentile": 99,
        "instances": 2,
        "threads": 1,
        "max_batch": 8,
        "queue_delay_ms": 3.0,
        "capacity_per_s": Statistic(100.0, 90.0, 110.0),
        "latency_ms": {50: 4.0, 95: 9.0, 99: 15.0},
        "call_ms": {1: (1.0, 1.2), 8: (3.0, 4.0)},
        "start_ms": 900.0,
        "memory_bytes": 2e8,
        "is_measured": True,
    }
    plan = ServingPlan(**{**values, **changes})
    plan.save(bundle)
    return plan
