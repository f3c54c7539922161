"""The calibration inputs of an ONNX file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.build.stages import StageInput
from paretune.runners.workload.model_file import fixed_batch, model_inputs

_SAMPLES = 300
"""Calibration samples that are used: NNCF's own default, `subset_size`."""


def calibration_feeds(given: StageInput) -> list[dict[str, NDArray[Any]]]:
    """Return calibration inputs, one sample at a time, or one batch if the model fixes its size."""
    names = [each.name for each in model_inputs(given.parent_file)]
    calibration = given.loaded.data.calibration
    drawn = calibration_rows(len(calibration))
    given_inputs = next(iter(calibration.batches(len(drawn), drawn))).inputs
    is_named = set(names) == set(given_inputs)  # else they come in the model's order
    arrays = [given_inputs[name] for name in names] if is_named else list(given_inputs.values())
    size, samples = fixed_batch(given.parent_file) or 1, len(arrays[0])
    turns = [np.arange(start, start + size) % samples for start in range(0, samples, size)]
    return [dict(zip(names, (array[rows] for array in arrays), strict=True)) for rows in turns]


def calibration_rows(samples: int) -> NDArray[np.int64]:
    """Return the samples to calibrate with: drawn over the whole split, the same ones every time.

    A split is often sorted, by class or by time: its first samples would be of one kind.
    """
    if samples <= _SAMPLES:
        return np.arange(samples)
    return np.sort(np.random.default_rng(0).choice(samples, _SAMPLES, replace=False))
