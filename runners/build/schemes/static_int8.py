"""Static int8 by NNCF, with the calibration that keeps the model's outputs best.

No calibration is best for every model: correcting biases (Nagel et al., "Data-Free Quantization
through Weight Equalization and Bias Correction", 2019, https://arxiv.org/abs/1906.04721) cost a
small network of the digits study five points of accuracy but helps others. So several are tried,
and judged on the calibration samples.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
from nncf.quantization import advanced_parameters as advanced
from nncf.quantization import range_estimator as ranges
from numpy.typing import NDArray

from paretune.runners.build.schemes.calibration import calibration_feeds
from paretune.runners.build.stages import StageInput
from paretune.runners.build.stages.integer_graph import make_unsigned, quantize_biases
from paretune.runners.onnx_session import cpu_session, is_numeric
from paretune.runners.workload.model_file import CALIBRATION
from paretune.runners.workload.onnx_weights import save_onnx, serialized

Feeds = Sequence[Mapping[str, NDArray[Any]]]

_EXTREMES = ranges.RangeEstimatorParameters(
    min=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MIN, ranges.AggregatorType.MIN),
    max=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MAX, ranges.AggregatorType.MAX),
)
# NNCF gives a depthwise convolution's input a scale per channel. ONNX Runtime rejects that, or runs
# the convolution in fp32 between conversions, 2.6 times slower than with one scale.
_PER_TENSOR = advanced.QuantizationParameters(per_channel=False)
_WAYS: dict[str, dict[str, Any]] = {
    "biases corrected": {},
    "biases as they are": {"disable_bias_correction": True},
    "biases as they are, ranges to the extremes": {
        "disable_bias_correction": True,
        "activations_range_estimator_params": _EXTREMES,
    },
}


def make(given: StageInput, path: Path, left_out: Sequence[str]) -> None:
    """Quantize weights and activations; how it was calibrated stands in the file's metadata."""
    model = onnx.load(given.parent_file)
    quantized, way = static_int8(model, calibration_feeds(given), left_out)
    quantized.metadata_props.add(key=CALIBRATION, value=way)
    save_onnx(quantized, path)


def static_int8(
    model: onnx.ModelProto, feeds: Feeds, left_out: Sequence[str]
) -> tuple[onnx.ModelProto, str]:
    """Return the quantized model with the nearest outputs, and the name of its calibration.

    Args:
        model: The model in fp32.
        feeds: Calibration samples: the inputs of one call each, by name.
        left_out: Names of the layers to leave in fp32.
    """
    expected = _outputs(model, feeds)
    found: list[tuple[float, str, onnx.ModelProto]] = []
    failed: Exception | None = None
    for way, parameters in _WAYS.items():
        try:
            quantized = nncf.quantize(
                model,
                nncf.Dataset(feeds),
                subset_size=len(feeds),
                ignored_scope=nncf.IgnoredScope(names=list(left_out)),
                advanced_parameters=advanced.AdvancedQuantizationParameters(
                    activations_quantization_params=_PER_TENSOR, **parameters
                ),
            )
            make_unsigned(quantized)
            quantize_biases(quantized)
            error = _relative_error(_outputs(quantized, feeds), expected)
        except (MemoryError, ImportError, OSError):
            raise
        except Exception as reason:  # NNCF's bias correction asserts what some models break
            failed = reason
            continue
        found.append((error, way, quantized))
    if not found:
        raise failed or ValueError("there is no way to calibrate")
    _, way, quantized = min(found, key=lambda each: each[0])
    return quantized, way


def _outputs(model: onnx.ModelProto, feeds: Feeds) -> list[NDArray[np.float64]]:
    """Return each of a model's numeric outputs for all feeds, concatenated."""
    session = cpu_session(serialized(model), threads=0)
    names = [each.name for each in session.get_outputs() if is_numeric(each.type)]
    runs = [session.run(names, feed) for feed in feeds]
    return [
        np.concatenate([np.asarray(run[place], np.float64).ravel() for run in runs])
        for place in range(len(names))
    ]


def _relative_error(
    outputs: Sequence[NDArray[np.float64]], expected: Sequence[NDArray[np.float64]]
) -> float:
    """Return the mean over outputs of the squared error, relative to the output's square.

    Infinite if there is no telling: something is not a number, or sizes differ.
    """
    errors = []
    for given, right in zip(outputs, expected, strict=True):
        if given.shape != right.shape:
            return math.inf
        square = float(np.square(right).mean()) if right.size else 0.0
        error = float(np.square(given - right).mean()) if right.size else 0.0
        errors.append(error / square if square > 0 else error)
    mean = float(np.mean(errors))
    return mean if math.isfinite(mean) else math.inf
