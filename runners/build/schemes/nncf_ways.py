"""Ways to calibrate static int8 with NNCF, by name: its advanced parameters."""

from collections.abc import Mapping
from typing import Any

from nncf.quantization import advanced_parameters as advanced
from nncf.quantization import range_estimator as ranges

from paretune.runners.build.schemes.integer_sums import has_narrow_sums

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

_WAYS: Mapping[str, Mapping[str, Any]] = {
    "biases corrected": {},
    "biases as they are": {"disable_bias_correction": True},
    "biases as they are, ranges to the extremes": _EXTREMES,
}
"""Ways for any model."""

_TRANSFORMER_WAYS: Mapping[str, Mapping[str, Any]] = {
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


def calibrations(*, is_transformer: bool) -> Mapping[str, Mapping[str, Any]]:
    """Return the ways to calibrate on this processor: advanced parameters by name."""
    known = _TRANSFORMER_WAYS if is_transformer else _WAYS
    if not has_narrow_sums():
        return known
    # See dynamic_int8.py. NNCF by itself gives seven bits to the first convolutions only.
    narrow = {"overflow_fix": advanced.OverflowFix.ENABLE}
    return {name: {**parameters, **narrow} for name, parameters in known.items()}
