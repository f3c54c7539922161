"""The classes that a model decided on, and the labels that they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import WorkloadError

HALF = 0.5
"""From this probability on, a label is decided to be there."""


@dataclass(frozen=True)
class Decisions:
    """Decided classes and labels of a batch.

    Attributes:
        given: Decided classes of shape (readings, samples, labels per sample). There are two
            readings where the model gives one number per label: as a probability, and as a logit.
            Which it is, a single batch need not tell.
        right: The labels, of shape (samples, labels per sample).
        judged: Which of the labels are judged, of the same shape.
        classes: How many classes the model has, or 0 if it gives classes rather than scores.
        has_logits: Whether some number is below 0 or above 1, so no probability.
        axis: The axis of the classes in the outputs, or 0 if there is none.
    """

    given: NDArray[Any]
    right: NDArray[np.int64]
    judged: NDArray[np.bool_]
    classes: int
    has_logits: bool = False
    axis: int = 0


def decide(
    outputs: NDArray[Any], targets: NDArray[Any], ignore: int | None, metric: str
) -> Decisions:
    """Return the classes that a model decided on, and the labels.

    Args:
        outputs: Classes in the labels' shape; one number per label, for labels of 0 and 1; or
            scores, with one axis more than the labels: the classes. If it may be either of two
            axes, it is the last of three (tokens), and the second of four and more (pictures).
        targets: Integer labels of shape (samples, ...), or scores like the outputs, whose largest
            is the label. Negative labels are not judged.
        ignore: Another label that is not judged.
        metric: The metric's name, for messages.

    Raises:
        WorkloadError: If they do not fit together, or a label is no class of the model.
    """
    right = _labels(outputs, targets, metric)
    judged = right >= 0
    if ignore is not None:
        judged &= right != ignore
    if outputs.size == right.size and outputs.ndim > 0:
        return _one_per_label(outputs.reshape(right.shape), right, judged, metric)
    axis = class_axis(outputs.shape, right.shape, metric)
    classes = outputs.shape[axis]
    check_labels(right, judged, classes, metric)
    given = outputs.argmax(axis=axis)
    return Decisions(_flat(given)[None], _flat(right), _flat(judged), classes, axis=axis)


def class_axis(outputs: Sequence[int], labels: Sequence[int], metric: str) -> int:
    """Return which axis of scores is that of the classes: the one that the labels lack.

    Raises:
        WorkloadError: If there is none.
    """
    axes = [
        axis
        for axis in range(1, len(outputs))
        if (*outputs[:axis], *outputs[axis + 1 :]) == tuple(labels)
    ]
    if not axes:
        raise WorkloadError(
            f"{metric} needs one class per label: outputs of shape {list(outputs)} fit no labels "
            f"of shape {list(labels)}; use integer labels of shape {list(outputs[:1])} (or one "
            "axis less than the outputs), or another metric"
        )
    return axes[-1] if len(outputs) == 3 else axes[0]


def check_labels(
    right: NDArray[np.int64], judged: NDArray[np.bool_], classes: int, metric: str
) -> None:
    """Raise an error if a label is no class of the model.

    Raises:
        WorkloadError: If so, with the share of such labels.
    """
    beyond = judged & (right >= classes)
    if beyond.any():
        found = sorted(set(right[beyond].tolist()))
        raise WorkloadError(
            f"{metric}: {beyond.sum() / judged.sum():.0%} of the labels are "
            f"{', '.join(map(str, found[:3]))}{', …' if found[3:] else ''}, but the model has "
            f"{classes} classes, 0 to {classes - 1}: if {found[-1]} means 'not labelled', say "
            f"--metric '{metric.replace('_', '-')}(ignore={found[-1]})', or give the metric "
            f"ignore={found[-1]} in metrics(); if labels start at 1, subtract 1"
        )


def _labels(outputs: NDArray[Any], targets: NDArray[Any], metric: str) -> NDArray[np.int64]:
    if targets.dtype.kind not in "biuf" or outputs.dtype.kind not in "biuf":
        raise WorkloadError(
            f"{metric}: classes must be numbers; got outputs of {outputs.dtype} and targets of "
            f"{targets.dtype}"
        )
    if not targets.ndim or len(targets) != len(outputs):
        raise WorkloadError(
            f"{metric}: got {len(outputs)} outputs for targets of shape {list(targets.shape)}"
        )
    same = targets.ndim == 2 and targets.shape == outputs.shape and targets.shape[1] > 1
    if same and outputs.dtype.kind == "f":
        if np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) != 1).any():
            raise WorkloadError(
                f"{metric} needs targets of shape (samples,), one class each; these are "
                f"{list(targets.shape)} and hold several answers of 0 and 1 per sample: choose "
                "the metric f1-multilabel, or write quality() or metrics()"
            )
        return np.asarray(targets.argmax(axis=1), np.int64)
    if targets.dtype.kind == "f" and (targets != np.round(targets)).any():
        raise WorkloadError(
            f"{metric} needs integer labels; got {targets.dtype} targets with fractions: choose "
            "another metric, such as mse or cosine"
        )
    if targets.ndim > 1 and targets.shape[-1] == 1 and outputs.ndim <= targets.ndim:
        targets = targets[..., 0]
    return targets.astype(np.int64)


def _one_per_label(
    outputs: NDArray[Any], right: NDArray[np.int64], judged: NDArray[np.bool_], metric: str
) -> Decisions:
    flat = _flat(right), _flat(judged)
    if outputs.dtype.kind != "f":
        return Decisions(_flat(outputs.astype(np.int64))[None], *flat, 0)
    if right[judged].size and right[judged].max() > 1:
        if (outputs == np.round(outputs)).all():
            return Decisions(_flat(outputs.astype(np.int64))[None], *flat, 0)
        raise WorkloadError(
            f"{metric} cannot tell classes: the output is one number per label, and the labels go "
            f"up to {right[judged].max()}; give one score per class, or choose another metric"
        )
    readings = np.stack([_flat(outputs) >= HALF, _flat(outputs) > 0]).astype(np.int64)
    outside = bool(((outputs < 0) | (outputs > 1)).any())
    return Decisions(readings, *flat, 2, outside)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)
