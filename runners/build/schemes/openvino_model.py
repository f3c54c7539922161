"""Schemes of OpenVINO's own model: precisions that it computes in, and int8 by NNCF."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.nearest import Answers, Feeds, nearest
from paretune.runners.build.stages import StageInput
from paretune.runners.build.stages.export_openvino import import_openvino, save_openvino
from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.model_file import ModelInput

CALIBRATED = ("paretune", "calibration")
"""Where a model says how static int8 was calibrated."""

PRECISION = ("paretune", "inference_precision")
"""Where a model says in which precision it is computed, among its runtime information."""


def make_bf16(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Compute in bfloat16; weights are stored in 16 bits."""
    openvino = import_openvino()
    can = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in can:
        raise StageError(
            FailureKind.UNSUPPORTED,
            f"this processor does not compute in bfloat16: OpenVINO has {', '.join(can)} here",
        )
    model = openvino.Core().read_model(given.parent_file)
    model.set_rt_info("bf16", [*PRECISION])
    save_openvino(model, path, is_half=True)


def make_int8(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize as NNCF does by default: symmetric activations."""
    _make_int8(given, path)


def make_int8_mixed(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize with NNCF's mixed preset: activations have a zero point of their own."""
    _make_int8(given, path, preset="MIXED")


def make_int8_transformer(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize as NNCF does transformers: matrix products, after SmoothQuant."""
    _make_int8(given, path, model_type="TRANSFORMER")


def make_int8_weight(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 8 bits, with a scale per output channel."""
    _compress_weights(given, path, mode="INT8_SYM")


def make_int4_weight(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 4 bits, with a scale per group of 32."""
    _compress_weights(given, path, mode="INT4_SYM", ratio=1.0, group_size=32, all_layers=True)


def _make_int8(given: StageInput, path: Path, **named: str) -> None:
    import nncf
    from nncf.quantization import advanced_parameters as advanced

    from paretune.runners.build.schemes.nncf_ways import TRANSFORMER_WAYS, WAYS

    kinds = {"preset": nncf.QuantizationPreset, "model_type": nncf.ModelType}
    options = {name: kinds[name][value] for name, value in named.items()}
    model = import_openvino().Core().read_model(given.parent_file)
    feeds = calibration_feeds(given, _inputs(model))

    def quantized(parameters: Mapping[str, Any]) -> Any:
        return nncf.quantize(
            model,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            advanced_parameters=advanced.AdvancedQuantizationParameters(**parameters),
            **options,
        )

    known = TRANSFORMER_WAYS if "model_type" in options else WAYS
    ways = {way: partial(quantized, parameters) for way, parameters in known.items()}
    found, way = nearest(ways, _outputs_on, feeds, partial(_outputs_on, model))
    found.set_rt_info(way, [*CALIBRATED])
    save_openvino(found, path)


def _outputs_on(model: Any, feeds: Feeds) -> Answers:
    """Return each of a model's numeric outputs for all feeds, concatenated."""
    compiled = (
        import_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    )
    runs = [list(compiled(feed).values()) for feed in feeds]
    return [
        np.concatenate([np.asarray(run[place], np.float64).ravel() for run in runs])
        for place in range(len(compiled.outputs))
    ]


def _compress_weights(given: StageInput, path: Path, mode: str, **options: Any) -> None:
    import nncf
    from nncf.quantization import advanced_parameters as advanced

    model = import_openvino().Core().read_model(given.parent_file)
    if "group_size" in options:
        # Rows that groups do not divide get smaller ones, or 8 bits.
        options["advanced_parameters"] = advanced.AdvancedCompressionParameters(
            group_size_fallback_mode=advanced.GroupSizeFallbackMode.ADJUST
        )
    kind = nncf.CompressWeightsMode[mode]
    save_openvino(nncf.compress_weights(model, mode=kind, **options), path)


def _inputs(model: Any) -> list[ModelInput]:
    """Return the inputs of a model, in order."""
    found = []
    for port in model.inputs:
        shape: Mapping[int, Any] = dict(enumerate(port.get_partial_shape()))
        sizes = tuple("?" if each.is_dynamic else each.get_length() for each in shape.values())
        names = sorted(port.get_names())
        found.append(ModelInput(names[0], port.get_element_type().to_dtype(), sizes))
    return found
