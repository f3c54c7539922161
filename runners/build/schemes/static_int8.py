"""Static int8 by NNCF, with the calibration that keeps the model's outputs best."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nncf
import onnx
from nncf.quantization import advanced_parameters as advanced

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.schemes.nearest import Feeds, nearest, outputs_on
from paretune.runners.build.schemes.nncf_ways import calibrations
from paretune.runners.build.stages import StageInput
from paretune.runners.build.stages.integer_graph import make_unsigned, quantize_biases
from paretune.runners.workload.model_file import CALIBRATION
from paretune.runners.workload.onnx_weights import save_onnx

# NNCF gives a depthwise convolution's input a scale per channel. ONNX Runtime rejects that, or runs
# the convolution in fp32 between conversions, 2.6 times slower than with one scale.
_PER_TENSOR = advanced.QuantizationParameters(per_channel=False)


def make(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize weights and activations; how it was calibrated stands in the file's metadata."""
    _make(given, path, left_out)


def make_transformer(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize as NNCF does transformers: matrix products, after SmoothQuant."""
    _make(given, path, left_out, model_type=nncf.ModelType.TRANSFORMER)


def _make(given: StageInput, path: Path, left_out: Sequence[str], **options: Any) -> None:
    model = onnx.load(given.parent_file)
    quantized, way = static_int8(model, calibration_feeds(given), left_out, **options)
    quantized.metadata_props.add(key=CALIBRATION, value=way)
    save_onnx(quantized, path)


def static_int8(
    model: onnx.ModelProto, feeds: Feeds, left_out: Sequence[str], **options: Any
) -> tuple[onnx.ModelProto, str]:
    """Return the quantized model with the nearest outputs, and the name of its calibration.

    Args:
        model: The model in fp32.
        feeds: Calibration samples: the inputs of one call each, by name.
        left_out: Names of the layers to leave in fp32.
        options: Further arguments of `nncf.quantize`.
    """

    def quantized(parameters: Mapping[str, Any]) -> onnx.ModelProto:
        made: onnx.ModelProto = nncf.quantize(
            model,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(names=list(left_out)),
            advanced_parameters=advanced.AdvancedQuantizationParameters(
                activations_quantization_params=_PER_TENSOR, **parameters
            ),
            **options,
        )
        make_unsigned(made)
        quantize_biases(made)
        return made

    known = calibrations(is_transformer="model_type" in options)
    ways = {way: partial(quantized, parameters) for way, parameters in known.items()}
    return nearest(ways, outputs_on, feeds, partial(outputs_on, model))
