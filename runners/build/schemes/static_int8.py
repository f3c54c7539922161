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
from paretune.runners.onnx_session import cpu_session
from paretune.runners.workload.model_file import CALIBRATION
from paretune.runners.workload.onnx_weights import save_onnx, serialized

Feeds = Sequence[Mapping[str, NDArray[Any]]]

_EXTREMES = ranges.RangeEstimatorParameters(
    min=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MIN, ranges.AggregatorType.MIN),
    max=ranges.StatisticsCollectorParameters(ranges.StatisticsType.MAX, ranges.AggregatorType.MAX),
)
_WAYS = {
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
    """Return the quantized model with the nearest first output, and the name of its calibration.

    Args:
        model: The model in fp32.
        feeds: Calibration samples: the inputs of one call each, by name.
        left_out: Names of the layers to leave in fp32.
    """
    expected = _outputs(model, feeds)
    found = []
    for way, parameters in _WAYS.items():
        quantized = nncf.quantize(
            model,
            nncf.Dataset(feeds),
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(names=list(left_out)),
            advanced_parameters=advanced.AdvancedQuantizationParameters(**parameters),
        )
        make_unsigned(quantized)
        quantize_biases(quantized)
        difference = _outputs(quantized, feeds) - expected
        error = float(np.square(difference).mean())
        found.append((error if math.isfinite(error) else math.inf, way, quantized))
    _, way, quantized = min(found, key=lambda each: each[0])
    return quantized, way


def _outputs(model: onnx.ModelProto, feeds: Feeds) -> NDArray[np.float64]:
    """Return a model's first output for all feeds, concatenated."""
    session = cpu_session(serialized(model), threads=0)
    name = session.get_outputs()[0].name
    return np.concatenate(
        [np.asarray(session.run([name], feed)[0], np.float64).ravel() for feed in feeds]
    )
