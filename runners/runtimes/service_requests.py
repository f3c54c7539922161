"""Requests: what a service would receive, checked against the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.runtimes.launched.pipeline import Pipeline
from paretune.runners.runtimes.launched.refusal import RefusedError
from paretune.runners.workload.data import first_batch
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import WorkloadError

_CHECKED = 8
"""Requests whose pre-processed form must equal the model's inputs. Chosen by judgement."""


def checked_requests(loaded: LoadedWorkload, split: str) -> NDArray[Any] | Sequence[bytes]:
    """Return a split's requests, after checking that the first few yield the split's inputs.

    Raises:
        WorkloadError: If their number is wrong, or pre-processing returns something else.
    """
    name = f"{loaded.path.name}: requests({split!r})"
    data = getattr(loaded.data, split)
    try:
        requests = loaded.workload.requests(split)
    except Exception as error:
        raise WorkloadError(f"{name} failed: {type(error).__name__}: {error}") from error
    is_array = isinstance(requests, np.ndarray) and not requests.dtype.hasobject
    if not is_array and not all(isinstance(request, bytes) for request in requests):
        raise WorkloadError(f"{name} must return an array of numbers or text, or a list of bytes")
    if len(requests) != len(data):
        raise WorkloadError(f"{name} returned {len(requests)} requests for {len(data)} samples")
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
    (want,) = first_batch(data, _CHECKED).inputs.values()
    if made.shape != want.shape or made.dtype != want.dtype:
        raise WorkloadError(
            f"{loaded.pipeline.name}: preprocess() must turn requests into the {split} inputs: "
            f"{want.dtype}{list(want.shape)}; got {made.dtype}{list(made.shape)}"
        )
    if not np.allclose(made, want, rtol=1e-3, atol=1e-5):
        raise WorkloadError(
            f"{loaded.pipeline.name}: preprocess() turns the requests into other values than the "
            f"{split} inputs: quality and end-to-end latency would belong to different inputs"
        )
    return requests
