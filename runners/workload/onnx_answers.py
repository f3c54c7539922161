"""The outputs of an ONNX file in ONNX Runtime's CPU provider, the same in every process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.onnx_session import cpu_session
from paretune.runners.workload.model_file import fixed_batch, model_inputs
from paretune.spaces import WorkloadError

_BATCH = 32
"""Samples per call, if the file leaves the batch size free. It changes no answer, only the
speed.
"""


def onnx_answers(model: Path, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return a model's first output for all samples.

    One thread computes them: sums have a fixed order, so outputs are equal to the last bit.

    Args:
        model: The ONNX file.
        inputs: One array of samples per input, in order.

    Returns:
        Array whose first axis is the sample.

    Raises:
        WorkloadError: If ONNX Runtime rejects the file or the samples.
    """
    names = [each.name for each in model_inputs(model)]
    fixed = fixed_batch(model)
    size = fixed or _BATCH
    samples = len(inputs[0])
    found = []
    try:
        session = cpu_session(model)
        first = session.get_outputs()[0].name
        for start in range(0, samples, size):
            count = min(size, samples - start)
            # If the batch size is fixed, the last batch is filled up from the start.
            rows = np.arange(start, start + (size if fixed else count)) % samples
            feed = {name: array[rows] for name, array in zip(names, inputs, strict=True)}
            found.append(np.asarray(session.run([first], feed)[0])[:count])
    except Exception as error:
        raise WorkloadError(f"ONNX Runtime cannot run {model}: {error}") from error
    return np.concatenate(found)
