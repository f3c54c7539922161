"""Requests: what a service would receive, checked against what the model is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.runtimes.launched.pipeline import Pipeline
from paretune.runners.runtimes.launched.refusal import RefusedError
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import WorkloadError

_CHECKED = 8


def checked_requests(loaded: LoadedWorkload, split: str) -> NDArray[Any] | Sequence[bytes]:
    """Return a split's requests, once the pipeline has made the split's inputs of the first few.

    Raises:
        WorkloadError: If there is not one a sample, or pre-processing gives something else.
    """
    name = f"{loaded.path.name}: requests({split!r})"
    inputs = getattr(loaded.data, split).inputs
    try:
        requests = loaded.workload.requests(split)
    except Exception as error:
        raise WorkloadError(f"{name} failed: {type(error).__name__}: {error}") from error
    is_array = isinstance(requests, np.ndarray) and not requests.dtype.hasobject
    if not is_array and not all(isinstance(request, bytes) for request in requests):
        raise WorkloadError(f"{name} must give an array of numbers or text, or a list of bytes")
    if len(requests) != len(inputs):
        raise WorkloadError(f"{name} gives {len(requests)} requests for {len(inputs)} samples")
    if loaded.pipeline is None:
        return requests
    try:
        preprocess = Pipeline(loaded.pipeline).preprocess
    except RefusedError as error:
        raise WorkloadError(str(error)) from error
    try:
        made = requests[:_CHECKED] if preprocess is None else preprocess(requests[:_CHECKED])
        made = np.asarray(made)
    except Exception as error:
        raise WorkloadError(f"{loaded.pipeline.name}: preprocess() failed: {error}") from error
    want = inputs[:_CHECKED]
    if made.shape != want.shape or made.dtype != want.dtype:
        raise WorkloadError(
            f"{loaded.pipeline.name}: preprocess() must make the {split} inputs of its requests: "
            f"{want.dtype}{list(want.shape)}; got {made.dtype}{list(made.shape)}"
        )
    if not np.allclose(made, want, rtol=1e-3, atol=1e-5):
        raise WorkloadError(
            f"{loaded.pipeline.name}: preprocess() makes other values of the requests than the "
            f"{split} inputs have: quality and end-to-end latency would not be of one model"
        )
    return requests
