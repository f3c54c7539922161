"""Built-in qualities as functions of whole arrays; higher is better for all."""

from typing import Any

from numpy.typing import NDArray

from paretune.runners.workload.metrics.classes import F1, Accuracy
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.metrics.values import Cosine, MeanSquaredError
from paretune.runners.workload.outputs import OUTPUT


def accuracy(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the share of labels with the right class.

    Args:
        outputs: Classes in the labels' shape; scores with one axis more, the classes; or one number
            per label of 0 or 1.
        targets: The labels, or scores.
    """
    return _of(Accuracy(), outputs, targets)


def f1(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the F1 score, averaged over the classes (arguments: see :func:`accuracy`)."""
    return _of(F1(), outputs, targets)


def negative_mse(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return minus the mean squared error of values; 0 is the best."""
    return 0.0 - _of(MeanSquaredError(), outputs, targets)


def cosine_similarity(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the mean cosine between each sample's output and its target, as flat vectors."""
    return _of(Cosine(), outputs, targets)


def _of(metric: QualityMetric, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    metric.update({OUTPUT: outputs}, targets)
    return metric.compute()
