"""Built-in qualities of a model's outputs; higher is better for all."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import WorkloadError

Quality = Callable[[NDArray[Any], NDArray[Any]], float]


def accuracy(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the share of samples with the right class.

    Args:
        outputs: Classes of shape (samples,), or scores of shape (samples, classes, ...).
        targets: The labels, in either form.
    """
    given, right = _both_classes(outputs, targets)
    return float(np.mean(given == right))


def f1(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the F1 score, averaged over the classes (arguments: see :func:`accuracy`)."""
    from sklearn.metrics import f1_score

    given, right = _both_classes(outputs, targets)
    return float(f1_score(right.ravel(), given.ravel(), average="macro", zero_division=0.0))


def negative_mse(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return minus the mean squared error of values; 0 is the best."""
    wanted = targets.reshape(outputs.shape) if targets.size == outputs.size else targets
    return -float(np.mean((outputs.astype(np.float64) - wanted) ** 2))


def cosine_similarity(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the mean cosine between each sample's output and its target, as flat vectors."""
    given = outputs.reshape(len(outputs), -1).astype(np.float64)
    wanted = targets.reshape(len(targets), -1).astype(np.float64)
    lengths = np.linalg.norm(given, axis=1) * np.linalg.norm(wanted, axis=1)
    products = np.sum(given * wanted, axis=1)
    same = np.all(given == wanted, axis=1).astype(np.float64)
    return float(np.mean(np.where(lengths > 0, products / np.maximum(lengths, 1e-300), same)))


QUALITIES: dict[str, Quality] = {
    "accuracy": accuracy,
    "f1": f1,
    "mse": negative_mse,
    "cosine": cosine_similarity,
}
"""The qualities, by their names for ``paretune search --metric``."""


def _both_classes(
    outputs: NDArray[Any], targets: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    given, right = _classes(outputs), _classes(targets)
    if given.shape != right.shape:
        raise WorkloadError(
            f"outputs of shape {list(outputs.shape)} and targets of shape {list(targets.shape)} "
            "do not hold one class per sample for the same samples: use one class per sample as "
            "labels"
        )
    return given, right


def _classes(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "biuf":
        raise WorkloadError(f"classes must be numbers; got {values.dtype}")
    if values.ndim == 1 or values.dtype.kind in "biu":
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.shape[1] < 2:
        raise WorkloadError(
            f"scores of shape {list(values.shape)} do not determine classes: write your own "
            "metric, FILE.py:FUNCTION"
        )
    classes: NDArray[Any] = values.argmax(axis=1)
    return classes
