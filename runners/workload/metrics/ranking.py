"""Metrics of order: area under the ROC curve, and whether the nearest neighbours are right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.metric import Outputs, SampleMetric, single_target
from paretune.spaces import WorkloadError

_ROWS = 1024
"""Samples whose neighbours are looked for at a time, to bound memory. Untested."""


class Auroc(SampleMetric):
    """The area under the ROC curve; of several classes, the mean of each against the others."""

    is_mean = False

    def __init__(self, name: str = "auroc", output: str | None = None) -> None:
        super().__init__(name, output)

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Keep scores and label: (samples, classes + 1)."""
        scores, right = self.judged(outputs), single_target(targets, self.name)
        scores = scores.reshape(len(scores), -1).astype(np.float64)
        if right.size != len(scores):
            raise WorkloadError(
                f"the metric {self.name} needs one label per sample: {len(scores)}; got targets of "
                f"shape {list(right.shape)}"
            )
        right = right.reshape(-1, 1)
        if right.min() < 0 or right.max() >= max(2, scores.shape[1]):
            raise WorkloadError(
                f"the metric {self.name}: labels go from {right.min()} to {right.max()}, but the "
                f"model gives {scores.shape[1]} scores per sample"
            )
        return np.concatenate([scores, right], axis=1)

    def value(self, samples: NDArray[Any]) -> float:
        """Return the area.

        Raises:
            WorkloadError: If only one class occurs: then it has no order.
        """
        from sklearn.metrics import roc_auc_score

        scores, right = samples[:, :-1], samples[:, -1].astype(np.int64)
        there = np.unique(right)
        if len(there) < 2:
            raise WorkloadError(f"the metric {self.name} needs samples of two classes; got one")
        if scores.shape[1] <= 2:
            margin = scores[:, -1] - (scores[:, 0] if scores.shape[1] == 2 else 0.0)
            return float(roc_auc_score(right, margin))
        odds = scores - _log_sum_exp(scores)[:, None]
        return float(np.mean([roc_auc_score(right == each, odds[:, each]) for each in there]))


class RecallAtK(SampleMetric):
    """The share of samples of which one of the ``k`` nearest others (by cosine) has its label.

    All samples of the split are each other's gallery.
    """

    is_mean = False

    def __init__(self, name: str = "", output: str | None = None, *, k: int = 1) -> None:
        super().__init__(name or f"recall_at_{k}", output)
        self.k = k
        self._found: NDArray[np.bool_] | None = None

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Keep embedding and label: (samples, dimensions + 1)."""
        vectors, right = self.judged(outputs), single_target(targets, self.name)
        self._found = None
        vectors = vectors.reshape(len(vectors), -1).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return np.concatenate([vectors, right.reshape(len(vectors), 1)], axis=1)

    def value(self, samples: NDArray[Any]) -> float:
        """Return the share; a sample is not its own neighbour."""
        return float(self._hits(samples).mean())

    def compute(self) -> float:
        """Return the share of all samples."""
        return float(self._own_hits().mean())

    def per_sample(self) -> NDArray[np.float64] | None:
        """Return 1 for each sample with such a neighbour, and 0 for the others."""
        return self._own_hits().astype(np.float64)

    def resampled(self, rows: NDArray[np.int64]) -> float:
        """Return the share of these samples, in the gallery of all samples."""
        return float(self._own_hits()[rows].mean())

    def _own_hits(self) -> NDArray[np.bool_]:
        """Return the hits among all samples, which take time with the square of their number."""
        if self._found is None:
            self._found = self._hits(self.samples)
        return self._found

    def _hits(self, samples: NDArray[Any]) -> NDArray[np.bool_]:
        vectors, labels = samples[:, :-1], samples[:, -1]
        if len(vectors) <= self.k:
            raise WorkloadError(
                f"the metric {self.name} needs more than {self.k} samples; got {len(vectors)}"
            )
        hits = np.empty(len(vectors), np.bool_)
        for start in range(0, len(vectors), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(vectors)))
            closeness = vectors[rows] @ vectors.T
            closeness[np.arange(len(rows)), rows] = -np.inf
            nearest = np.argpartition(-closeness, self.k - 1, axis=1)[:, : self.k]
            hits[rows] = (labels[nearest] == labels[rows, None]).any(axis=1)
        return hits


def _log_sum_exp(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    high = scores.max(axis=1)
    found: NDArray[np.float64] = high + np.log(np.exp(scores - high[:, None]).sum(axis=1))
    return found
