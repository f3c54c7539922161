"""Requests: what a service would receive, checked against the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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

    They must do so with the first value of each axis that the pipeline offers. With any other value
    the inputs must have the same shape and type; their numbers may differ, because quality is then
    measured on what the pipeline makes (see ``served_batches``).

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
    (want,) = first_batch(data, _CHECKED).inputs.values()
    made = _prepared(loaded.pipeline, requests, {}, want, split)
    if not np.allclose(made, want, rtol=1e-3, atol=1e-5):
        raise WorkloadError(
            f"{loaded.pipeline.name}: preprocess() must turn requests({split!r}) into the {split} "
            "inputs, but its values differ: quality and end-to-end latency would be of different "
            "inputs. Make the two agree"
        )
    for axis, values in loaded.offered.axes.items():
        for value in values[1:]:
            _prepared(loaded.pipeline, requests, {axis: value}, want, split)
    return requests


def _prepared(
    file: Path,
    requests: NDArray[Any] | Sequence[bytes],
    values: Mapping[str, Any],
    want: NDArray[Any],
    split: str,
) -> NDArray[Any]:
    """Return what a pipeline makes of the first requests under some values of its axes.

    Raises:
        WorkloadError: If it fails, or makes something of another shape or type than is wanted.
    """
    told = "".join(f" with {axis} {value}" for axis, value in values.items())
    try:
        pipeline = Pipeline(file, values)
        made = np.asarray(pipeline.prepared(pipeline.as_sent(requests[:_CHECKED])))
    except RefusedError as error:
        raise WorkloadError(str(error)) from error
    except Exception as error:
        raise WorkloadError(f"{file.name}: preprocess() failed{told}: {error}") from error
    if made.shape != want.shape or made.dtype != want.dtype:
        raise WorkloadError(
            f"{file.name}: preprocess() must turn requests into the {split} inputs{told}: "
            f"{want.dtype}{list(want.shape)}; got {made.dtype}{list(made.shape)}"
        )
    return made
