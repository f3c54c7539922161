"""The calibration inputs of an ONNX file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.build.stages import StageInput
from paretune.runners.workload.model_file import model_inputs
from paretune.runners.workload.onnx_files.inputs import fixed_batch

_SAMPLES = 300
"""Calibration samples that are used: NNCF's own default, `subset_size`."""


def calibration_feeds(given: StageInput) -> list[dict[str, NDArray[Any]]]:
    """Return calibration inputs, one sample at a time, or one batch if the model fixes its size."""
    inputs, layout = model_inputs(given.parent_file), given.loaded.layout
    names = [each.name for each in inputs]
    calibration = given.loaded.data.calibration
    drawn = calibration_rows(len(calibration))
    batch = next(iter(calibration.batches(len(drawn), drawn))).inputs
    is_named = set(names) == set(batch)  # else they come in the model's order
    arrays = [batch[name] for name in names] if is_named else list(batch.values())
    size, samples = fixed_batch(inputs, layout) or 1, len(arrays[0])
    turns = [np.arange(start, start + size) % samples for start in range(0, samples, size)]
    return [layout.feed(names, [array[rows] for array in arrays]) for rows in turns]


def calibration_rows(samples: int) -> NDArray[np.int64]:
    """Return the samples to calibrate with: drawn over the whole split, the same ones every time.

    A split is often sorted, by class or by time: its first samples would be of one kind.
    """
    if samples <= _SAMPLES:
        return np.arange(samples)
    return np.sort(np.random.default_rng(0).choice(samples, _SAMPLES, replace=False))
