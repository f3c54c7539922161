"""What quantizing a layer gains in time: the layer alone, timed in both forms on this processor."""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from paretune.runners.build.schemes.integer_sums import has_narrow_sums
from paretune.runners.build.schemes.placement.layers import constants, quantized_layers
from paretune.runners.onnx_session import cpu_session
from paretune.runners.openvino_core import fastest_float, import_openvino
from paretune.runners.workload.onnx_weights import serialized
from paretune.spaces import SchemeRecord

_BLOCKS = 7
"""Blocks of calls that a layer is timed in; the fastest counts, because others were disturbed."""

_BLOCK_S = 2e-3
"""Seconds of a block, at least."""

Feed = Mapping[str, NDArray[Any]]
Loader = Callable[[bytes], Callable[[Feed], Any]]


def time_gains_ms(
    model: onnx.ModelProto, feed: Feed, scheme: SchemeRecord, load: Loader
) -> dict[str, float]:
    """Return the milliseconds that each layer gains when it is quantized, by name.

    What converts at its borders is part of its quantized form, as it is where its neighbours stay
    in fp32. Layers of the same shapes are timed once. Without integers in the operators
    (weights alone), nothing is timed and the gain is the layer's number of weights.

    Args:
        model: The model in fp32; its layers have names.
        feed: The inputs of one call, by name.
        scheme: The scheme.
        load: Returns how to call a file, given as bytes, in the runtime that it is made for.
    """
    weights = constants(model)
    layers = quantized_layers(model, weights, scheme)
    if scheme.mode == "weight":
        return {node.name: float(weights[node.input[1]].size) for node in layers}
    names = [name for node in layers for name in node.input if name and name not in weights]
    values = _values(model, feed, dict.fromkeys(names))
    known: dict[str, float] = {}
    gains = {}
    for node in layers:
        inputs = {name: values[name] for name in node.input if name in values}
        held = {name: weights[name] for name in node.input if name in weights}
        shapes = [array.shape for array in (*inputs.values(), *held.values())]
        settings = sorted(each.SerializeToString() for each in node.attribute)
        kind = f"{node.op_type} {shapes} {settings}"
        if kind not in known:
            alone = _alone(model, node, inputs, held)
            quick = load(_quantized(alone, inputs, scheme))
            known[kind] = _ms(load(alone.SerializeToString()), inputs) - _ms(quick, inputs)
        gains[node.name] = known[kind]
    return gains


def on_onnxruntime(model: bytes) -> Callable[[Feed], Any]:
    """Return how to call a file in ONNX Runtime, with one thread."""
    session = cpu_session(model)
    return lambda feed: session.run(None, dict(feed))


def on_openvino(model: bytes) -> Callable[[Feed], Any]:
    """Return how to call a file in OpenVINO, with one thread; what stays a float is in bfloat16."""
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": fastest_float()}
    core = import_openvino().Core()
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()
    return lambda feed: request.infer(dict(feed), share_inputs=True, share_outputs=True)


def _ms(call: Callable[[Feed], Any], feed: Feed) -> float:
    """Return the milliseconds of a call."""
    start = time.perf_counter()
    call(feed)
    call(feed)
    once = (time.perf_counter() - start) / 2
    calls = max(1, int(_BLOCK_S / max(once, 1e-7)))
    blocks = []
    for _ in range(_BLOCKS):
        start = time.perf_counter()
        for _ in range(calls):
            call(feed)
        blocks.append((time.perf_counter() - start) / calls)
    return 1e3 * min(blocks)


def _values(
    model: onnx.ModelProto, feed: Feed, wanted: Mapping[str, None]
) -> dict[str, NDArray[Any]]:
    """Return values inside the model in one call, by name."""
    given = {name: array for name, array in feed.items() if name in wanted}
    inner = [name for name in wanted if name not in given]
    if not inner:
        return given
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    found = cpu_session(serialized(probed), threads=0).run(inner, dict(feed))
    return given | dict(zip(inner, found, strict=True))


def _alone(
    model: onnx.ModelProto, node: onnx.NodeProto, inputs: Feed, held: Feed
) -> onnx.ModelProto:
    """Return a model of one layer, for inputs of these shapes."""
    described = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in inputs.items()
    ]
    graph = helper.make_graph(
        [node],
        "layer",
        described,
        [onnx.ValueInfoProto(name=node.output[0])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import)
    alone.ir_version = model.ir_version
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(alone)
    return inferred


def _quantized(alone: onnx.ModelProto, inputs: Feed, scheme: SchemeRecord) -> bytes:
    """Return a layer's int8 form, as ONNX Runtime's tools make it."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    from paretune.runners.build.schemes.layers_int8 import SampleReader

    options = {
        "per_channel": True,
        "reduce_range": has_narrow_sums(),
        "weight_type": QuantType.QInt8,
        "op_types_to_quantize": [alone.graph.node[0].op_type],
    }
    with tempfile.TemporaryDirectory() as name:
        source, made = Path(name) / "layer.onnx", Path(name) / "int8.onnx"
        onnx.save(alone, source)
        if scheme.mode == "dynamic":
            quantize_dynamic(source, made, **options)
        else:
            reader = SampleReader([inputs])
            quantize_static(source, made, reader, activation_type=QuantType.QUInt8, **options)
        return made.read_bytes()
