"""Ways to calibrate static int8 with NNCF, by name: its advanced parameters."""

from collections.abc import Mapping
from typing import Any

from nncf.quantization import advanced_parameters as advanced
from nncf.quantization import range_estimator as ranges

# By default, NNCF takes the mean of the samples' largest values, which clips half of the samples: a
# perceptron whose inputs have 4 numbers each lost 5 % of its outputs' power by that, and .01 % with
# the extremes.
_EXTREMES = {
    "disable_bias_correction": True,
    "activations_range_estimator_params": ranges.RangeEstimatorParameters(
        min=ranges.StatisticsCollectorParameters(
            ranges.StatisticsType.MIN, ranges.AggregatorType.MIN
        ),
        max=ranges.StatisticsCollectorParameters(
            ranges.StatisticsType.MAX, ranges.AggregatorType.MAX
        ),
    ),
}

WAYS: Mapping[str, Mapping[str, Any]] = {
    "biases corrected": {},
    "biases as they are": {"disable_bias_correction": True},
    "biases as they are, ranges to the extremes": _EXTREMES,
}
"""Ways for any model."""

TRANSFORMER_WAYS: Mapping[str, Mapping[str, Any]] = {
    "smoothed": {},
    "smoothed, ranges to the extremes": _EXTREMES,
    "not smoothed, ranges to the extremes": {
        **_EXTREMES,
        "smooth_quant_alphas": advanced.AdvancedSmoothQuantParameters(matmul=-1),
    },
}
"""Ways for transformers.

SmoothQuant: Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
Language Models", 2023, https://arxiv.org/abs/2211.10438.
"""
