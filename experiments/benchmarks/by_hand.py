"""The honest afternoon: what a good engineer gets from an ONNX file without a search.

    python experiments/benchmarks/by_hand.py MODEL.onnx DATA.npz [--constant NAME=VALUE]
        [--batch-axis NAME=AXIS] [--threads 1]

Every recipe that the manuals of ONNX Runtime, NNCF and OpenVINO recommend for a CPU, with plain
calls of those libraries and a plain loop that times them in turn; nothing of Paretune's is used.
Data is an array per input; the first half of the samples calibrates, the rest judges. A recipe's
fidelity is the mean cosine similarity, per sample, of its outputs to those of the original in fp32,
of the output that is worst. Prints every recipe, then the fastest at each fidelity, timed again
beside fp32: the least of many times is a lucky one.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

LEVELS = (0.999, 0.99, 0.95)
CALIBRATION = 300
"""Samples to calibrate with: NNCF's default."""

JUDGED = 100
"""Samples that are judged; each is one call."""

Feed = dict[str, np.ndarray]
Call = Callable[[Feed], list[np.ndarray]]


def main() -> int:
    """Make, judge and time every recipe; print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--constant", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--batch-axis", action="append", default=[], metavar="NAME=AXIS")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15, help="turns that each recipe is timed")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["DO_NOT_TRACK"] = "true"
    onnxruntime.set_default_logger_severity(4)
    with tempfile.TemporaryDirectory() as name:
        afternoon = Afternoon(options, Path(name))
        found = afternoon.try_all()
        calls = {name: call for name, (call, _) in found.items()}
        times = timed(calls, afternoon, options.rounds)
        best = {
            level: min((n for n in times if found[n][1] >= level), key=times.__getitem__)
            for level in LEVELS
        }
        chosen = {name: calls[name] for name in (FP32, *best.values())}
        again = timed(chosen, afternoon, options.rounds)
    fp32 = times[FP32]
    print(f"\n{'recipe':<46} {'ms':>8} {'speed-up':>8}  cosine")
    for name in sorted(times, key=times.__getitem__):
        print(f"{name:<46} {times[name]:8.3f} {fp32 / times[name]:7.2f}×  {found[name][1]:.5f}")
    print(f"\n{'at least':<10} {'speed-up':>8}  best by hand")
    for level, name in best.items():
        print(f"{level:<10} {again[FP32] / again[name]:7.2f}×  {name}")
    return 0


FP32 = "ONNX Runtime, fp32"


class Afternoon:
    """The model, its data, and the recipes."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.folder, self.threads = folder, options.threads
        self.source = folder / "source.onnx"
        self.model = plain(onnx.load(options.model))
        onnx.save(self.model, self.source)
        constants = dict(text.split("=") for text in options.constant)
        axes = {n: int(axis) for n, axis in (text.split("=") for text in options.batch_axis)}
        arrays = np.load(options.data)
        session = self._session(self.source)
        samples = min(len(np.moveaxis(arrays[n], axes.get(n, 0), 0)) for n in self._given(arrays))
        drawn = np.random.default_rng(0).permutation(samples)

        def feed(row: int) -> Feed:
            found = {}
            for each in session.get_inputs():
                if each.name in constants:
                    kind = np.int64 if "int64" in each.type else np.float32
                    found[each.name] = np.asarray(float(constants[each.name])).astype(kind)
                else:
                    found[each.name] = np.take(arrays[each.name], [row], axes.get(each.name, 0))
            return found

        self.calibration = [feed(row) for row in drawn[: min(samples // 2, CALIBRATION)]]
        self.judged = [feed(row) for row in drawn[samples // 2 :][:JUDGED]]
        self.shapes = {name: array.shape for name, array in self.judged[0].items()}
        self.expected = [session.run(None, feed) for feed in self.judged]

    def _given(self, arrays: Any) -> list[str]:
        return [each.name for each in self.model.graph.input if each.name in arrays]

    def try_all(self) -> dict[str, tuple[Call, float]]:
        """Return each recipe that works here: how to call it, and its fidelity."""
        found: dict[str, tuple[Call, float]] = {}
        for name, make in recipes(self):
            start = time.monotonic()
            try:
                call = make()
                fidelity = self.fidelity(call)
            except Exception as error:
                reason = (str(error).strip().splitlines() or [""])[0][:110]
                print(f"{name:<46} no: {type(error).__name__}: {reason}", flush=True)
                continue
            print(f"{name:<46} {fidelity:.5f} after {time.monotonic() - start:.0f} s", flush=True)
            found[name] = call, fidelity
        return found

    def fidelity(self, call: Call) -> float:
        """Return the worst output's mean cosine similarity to the original's."""
        rows = []
        for feed, right in zip(self.judged, self.expected, strict=True):
            got = [np.array(each) for each in call(feed)]
            rows.append([cosine(a, b) for a, b in zip(got, right, strict=True) if numeric(b)])
        return float(np.mean(rows, axis=0).min())

    def _session(self, path: Path, **entries: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def on_onnxruntime(self, path: Path, **entries: str) -> Call:
        """Return a call of a file in ONNX Runtime."""
        session = self._session(path, **entries)
        return lambda feed: session.run(None, feed)

    def on_openvino(self, model: Any, precision: str) -> Call:
        """Return a call of a model in OpenVINO, computed in a precision that the CPU has."""
        import openvino

        core = openvino.Core()
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": precision,
        }
        compiled = core.compile_model(model, "CPU", config)
        took = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if took != precision:
            raise ValueError(f"this processor computes in {took} when asked for {precision}")
        request = compiled.create_infer_request()
        wanted = {name for port in compiled.inputs for name in port.get_names()}

        def call(feed: Feed) -> list[np.ndarray]:
            given = {name: array for name, array in feed.items() if name in wanted}
            results = request.infer(given, share_inputs=True, share_outputs=True)
            return [results[port] for port in compiled.outputs]

        return call

    def read_openvino(self, path: Path | None = None) -> Any:
        """Return a file as OpenVINO's model, of the shapes that one call has."""
        import openvino

        model = openvino.Core().read_model(path or self.source)
        model.reshape(
            {
                port: self.shapes[name]
                for port in model.inputs
                for name in port.get_names()
                if name in self.shapes
            }
        )
        return model


Recipe = tuple[str, Callable[[], Call]]


def recipes(hand: Afternoon) -> Iterator[Recipe]:
    """Yield every recipe: a name, and what makes it."""
    yield FP32, lambda: hand.on_onnxruntime(hand.source)
    yield from simplified(hand)
    yield from of_onnxruntime(hand)
    yield from of_nncf(hand)
    yield from of_openvino(hand)


def simplified(hand: Afternoon) -> Iterator[Recipe]:
    """Yield the file after tools that rewrite graphs."""

    def slim() -> Call:
        import onnxslim

        path = hand.folder / "slim.onnx"
        onnx.save(onnxslim.slim(onnx.load(hand.source)), path)
        return hand.on_onnxruntime(path)

    def fused(family: str) -> Callable[[], Call]:
        def make() -> Call:
            from onnxruntime.transformers.optimizer import optimize_model

            path = hand.folder / f"fused-{family}.onnx"
            optimize_model(str(hand.source), family, opt_level=0).save_model_to_file(str(path))
            return hand.on_onnxruntime(path)

        return make

    def fixed() -> Call:
        from onnxruntime.tools.onnx_model_utils import fix_output_shapes, make_input_shape_fixed

        model = onnx.load(hand.source)
        for name, shape in hand.shapes.items():
            make_input_shape_fixed(model.graph, name, shape)
        fix_output_shapes(model)
        path = hand.folder / "fixed.onnx"
        onnx.save(model, path)
        return hand.on_onnxruntime(path)

    yield "ONNX Runtime, fp32, onnxslim", slim
    yield "ONNX Runtime, fp32, fixed shapes", fixed
    for family in ("bert", "vit"):
        yield f"ONNX Runtime, fp32, fused as {family}", fused(family)


def of_onnxruntime(hand: Afternoon) -> Iterator[Recipe]:
    """Yield the recipes of ONNX Runtime's own quantizers."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        HQQWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(hand.calibration)

        def get_next(self) -> Feed | None:
            return next(self.left, None)

    def ready() -> Path:
        path = hand.folder / "ready.onnx"
        if not path.exists():
            quant_pre_process(hand.source, path, skip_symbolic_shape=True)
        return path

    def dynamic(**options: Any) -> Callable[[], Call]:
        def make() -> Call:
            path = hand.folder / "dynamic.onnx"
            quantize_dynamic(ready(), path, **options)
            return hand.on_onnxruntime(path)

        return make

    def static(**options: Any) -> Callable[[], Call]:
        def make() -> Call:
            path = hand.folder / "static.onnx"
            quantize_static(ready(), path, Reader(), **options)
            return hand.on_onnxruntime(path)

        return make

    def blocks(config: Any) -> Callable[[], Call]:
        def make() -> Call:
            quantizer = MatMulNBitsQuantizer(onnx.load(ready()), algo_config=config)
            quantizer.process()
            path = hand.folder / "blocks.onnx"
            quantizer.model.save_model_to_file(str(path))
            return hand.on_onnxruntime(path)

        return make

    matrices = ["MatMul", "Gemm"]
    yield "quantize_dynamic, defaults", dynamic()
    yield (
        "quantize_dynamic, matrices, per channel",
        dynamic(per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=matrices),
    )
    u8s8 = {
        "activation_type": QuantType.QUInt8,
        "weight_type": QuantType.QInt8,
        "per_channel": True,
    }
    kinds = {"Conv": ["Conv"], "matrices": matrices, "Conv and matrices": ["Conv", *matrices]}
    for name, operators in kinds.items():
        yield f"quantize_static, {name}", static(op_types_to_quantize=operators, **u8s8)
    yield "quantize_static, all operators", static(**u8s8)
    for method in (CalibrationMethod.Percentile, CalibrationMethod.Entropy):
        yield (
            f"quantize_static, Conv and matrices, {method.name}",
            static(op_types_to_quantize=["Conv", *matrices], calibrate_method=method, **u8s8),
        )
    for bits in (8, 4):
        config = DefaultWeightOnlyQuantConfig(
            block_size=32, is_symmetric=True, accuracy_level=4, bits=bits
        )
        yield f"MatMulNBits, {bits} bits, int8 sums", blocks(config)
    yield "MatMulNBits, 4 bits, HQQ", blocks(HQQWeightOnlyQuantConfig(block_size=32, bits=4))


NNCF_WAYS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "mixed preset": {"preset": "MIXED"},
    "transformer, SmoothQuant": {"model_type": "TRANSFORMER"},
    "no bias correction": {"plain_biases": True},
    "matrices alone": {"model_type": "TRANSFORMER", "matrices": True},
}


def of_nncf(hand: Afternoon) -> Iterator[Recipe]:
    """Yield NNCF's recipes on the ONNX file."""
    import nncf

    def static(way: dict[str, Any], *, in_openvino: bool = False) -> Callable[[], Call]:
        def make() -> Call:
            model = onnx.load(hand.source)
            kinds = {node.op_type for node in model.graph.node} - {"MatMul", "Gemm"}
            path = hand.folder / "nncf.onnx"
            onnx.save(nncf_quantized(model, hand.calibration, way, sorted(kinds)), path)
            if in_openvino:
                return hand.on_openvino(hand.read_openvino(path), "f32")
            return hand.on_onnxruntime(path)

        return make

    def weights(mode: Any, **options: Any) -> Callable[[], Call]:
        def make() -> Call:
            ignored = nncf.IgnoredScope(types=["Conv", "Gather"], validate=False)
            model = nncf.compress_weights(
                plain(onnx.load(hand.source), 21), mode=mode, ignored_scope=ignored, **options
            )
            path = hand.folder / "weights.onnx"
            onnx.save(model, path)
            return hand.on_onnxruntime(path, **{"session.qdq_matmulnbits_accuracy_level": "4"})

        return make

    for name, way in NNCF_WAYS.items():
        yield f"NNCF on ONNX, {name}", static(way)
        yield f"NNCF on ONNX, {name}, in OpenVINO", static(way, in_openvino=True)
    yield "NNCF on ONNX, int8 weights", weights(nncf.CompressWeightsMode.INT8_SYM)
    four = {"ratio": 1.0, "group_size": 32, "all_layers": True}
    yield "NNCF on ONNX, int4 weights", weights(nncf.CompressWeightsMode.INT4_SYM, **four)


def of_openvino(hand: Afternoon) -> Iterator[Recipe]:
    """Yield what OpenVINO does with its own model."""
    import nncf

    def static(way: dict[str, Any], precision: str) -> Callable[[], Call]:
        def make() -> Call:
            model = hand.read_openvino()
            kinds = {op.get_type_name() for op in model.get_ops()}
            kinds -= {"MatMul", "Constant", "Parameter", "Result"}
            quantized = nncf_quantized(model, hand.calibration, way, sorted(kinds))
            return hand.on_openvino(quantized, precision)

        return make

    def weights(mode: Any, **options: Any) -> Callable[[], Call]:
        def make() -> Call:
            model = nncf.compress_weights(hand.read_openvino(), mode=mode, **options)
            return hand.on_openvino(model, "f32")

        return make

    for precision in ("f32", "bf16", "f16"):
        yield (
            f"OpenVINO, {precision}",
            lambda precision=precision: hand.on_openvino(hand.read_openvino(), precision),
        )
    for name, way in NNCF_WAYS.items():
        for precision in ("f32", "bf16"):
            rest = "" if precision == "f32" else ", rest in bf16"
            yield f"OpenVINO int8, {name}{rest}", static(way, precision)
    yield "OpenVINO, int8 weights", weights(nncf.CompressWeightsMode.INT8_SYM)
    four = {"ratio": 1.0, "group_size": 32, "all_layers": True}
    yield "OpenVINO, int4 weights", weights(nncf.CompressWeightsMode.INT4_SYM, **four)


def nncf_quantized(model: Any, feeds: list[Feed], way: dict[str, Any], others: list[str]) -> Any:
    """Return NNCF's static int8 of a model of either library."""
    import nncf
    from nncf.quantization import advanced_parameters as advanced

    options: dict[str, Any] = {}
    if "preset" in way:
        options["preset"] = nncf.QuantizationPreset[way["preset"]]
    if "model_type" in way:
        options["model_type"] = nncf.ModelType[way["model_type"]]
    if "matrices" in way:
        options["ignored_scope"] = nncf.IgnoredScope(types=others, validate=False)
    if "plain_biases" in way:
        options["advanced_parameters"] = advanced.AdvancedQuantizationParameters(
            disable_bias_correction=True
        )
    data = nncf.Dataset(feeds)
    return nncf.quantize(model, data, subset_size=len(feeds), **options)


def timed(calls: dict[str, Call], hand: Afternoon, rounds: int) -> dict[str, float]:
    """Return the median of each recipe's times per call, in milliseconds.

    Recipes take turns, so that a slow minute of the machine is everyone's.
    """
    feed = hand.judged[0]
    blocks: dict[str, list[float]] = {name: [] for name in calls}
    sizes = {}
    for name, call in calls.items():
        once = min(duration(call, feed, 3) for _ in range(3))
        sizes[name] = max(3, int(0.1 / once))
    for _ in range(rounds):
        for name, call in calls.items():
            blocks[name].append(1e3 * duration(call, feed, sizes[name]))
    return {name: float(np.median(found)) for name, found in blocks.items()}


def duration(call: Call, feed: Feed, times: int) -> float:
    """Return seconds per call, without the first."""
    call(feed)
    start = time.perf_counter()
    for _ in range(times):
        call(feed)
    return (time.perf_counter() - start) / times


def plain(model: onnx.ModelProto, least_opset: int = 13) -> onnx.ModelProto:
    """Return the model as the tools take it: an opset with int8, and weights that are no inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = [each for each in model.graph.input if each.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset >= least_opset:
        return model
    return onnx.version_converter.convert_version(model, least_opset)


def numeric(array: Any) -> bool:
    """Tell whether an output is an array of numbers."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu"


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine similarity of two arrays."""
    a, b = (np.asarray(each, np.float64).ravel() for each in (one, other))
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms > 0 else float(np.array_equal(a, b))


if __name__ == "__main__":
    sys.exit(main())
