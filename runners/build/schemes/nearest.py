"""Of several ways to quantize a model, the one whose outputs are nearest to the original's.

No calibration is best for every model: correcting biases (Nagel et al., "Data-Free Quantization
through Weight Equalization and Bias Correction", 2019, https://arxiv.org/abs/1906.04721) cost a
small network of the digits study five points of accuracy but helps others. So several are tried,
and judged on calibration samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from paretune.runners.onnx_session import cpu_session, is_numeric
from paretune.runners.workload.onnx_weights import serialized

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Feeds = Sequence[Mapping[str, NDArray[Any]]]
Answers = Sequence[NDArray[np.float64]]
Model = TypeVar("Model")

_JUDGED = 64
"""Calibration samples that ways are judged on. Chosen by judgement."""


def nearest(
    ways: Mapping[str, Callable[[], Model]],
    answers: Callable[[Model, Feeds], Answers],
    feeds: Feeds,
    expected: Callable[[Feeds], Answers],
) -> tuple[Model, str]:
    """Return the model with the nearest outputs, and the name of the way that made it.

    A way that fails is left out, because others may work: NNCF's bias correction, for example,
    asserts what some models break.

    Args:
        ways: What makes a model, by name.
        answers: Returns a model's outputs on samples.
        feeds: Calibration samples: the inputs of one call each, by name.
        expected: Returns the outputs of the original.

    Raises:
        Exception: The last failure, if every way fails.
    """
    drawn = np.random.default_rng(0).permutation(len(feeds))[:_JUDGED]  # they may be sorted
    judged = [feeds[place] for place in drawn]
    right = expected(judged)
    found: list[tuple[float, str, Model]] = []
    failed: Exception | None = None
    for way, make in ways.items():
        try:
            model = make()
            error = relative_error(answers(model, judged), right)
        except (MemoryError, ImportError, OSError):
            raise
        except Exception as reason:
            failed = reason
            continue
        found.append((error, way, model))
    if not found:
        raise failed or ValueError("there is no way to calibrate")
    _, way, model = min(found, key=lambda each: each[0])
    return model, way


def outputs_on(model: onnx.ModelProto, feeds: Feeds) -> Answers:
    """Return each of a model's numeric outputs for all feeds, concatenated."""
    return outputs_of(cpu_session(serialized(model), threads=0), feeds)


def outputs_of(session: InferenceSession, feeds: Feeds) -> Answers:
    """Return the same of a loaded model."""
    names = [each.name for each in session.get_outputs() if is_numeric(each.type)]
    return joined([session.run(names, feed) for feed in feeds])


def joined(runs: Sequence[Sequence[Any]]) -> Answers:
    """Return each output of several calls as one flat array."""
    outputs = zip(*runs, strict=True)
    return [np.concatenate([np.asarray(e, np.float64).ravel() for e in each]) for each in outputs]


def relative_error(outputs: Answers, expected: Answers) -> float:
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
