"""Metrics of classes: accuracy (top-k, balanced), F1 (macro, micro, multi-label), mean IoU."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.decisions import (
    HALF,
    Decisions,
    decide,
)
from paretune.runners.workload.metrics.metric import Outputs, SampleMetric, single_target
from paretune.spaces import WorkloadError

_MOST_ANSWERS = 64
"""Decisions per sample that are kept, to count those that changed. Chosen by judgement."""

Average = Literal["macro", "micro"]


class ClassMetric(SampleMetric):
    """A metric of decided classes.

    What is kept of a sample has one axis more in front: the readings (see :class:`Decisions`).

    Args:
        name: The name under which it is recorded.
        output: Which of the model's outputs it judges; the first if ``None``.
        ignore: A label that is not judged; negative labels, such as -100, never are.
    """

    is_mean = False

    def __init__(self, name: str, output: str | None = None, *, ignore: int | None = None) -> None:
        super().__init__(name, output)
        self.ignore = ignore
        self._has_logits = False
        self._answers: list[NDArray[Any]] = []

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Decide on classes, and keep what :meth:`kept` returns for each reading."""
        decisions = self._decisions(self.judged(outputs), single_target(targets, self.name))
        self._has_logits |= decisions.has_logits
        step = max(1, -(-decisions.right.shape[1] // _MOST_ANSWERS))
        self._answers.append(decisions.given[:, :, ::step].swapaxes(0, 1))
        return np.stack([self.kept(each, decisions) for each in decisions.given], axis=1)

    def kept(self, given: NDArray[Any], decisions: Decisions) -> NDArray[Any]:
        """Return what is kept of each sample, for one reading of shape (samples, labels)."""
        raise NotImplementedError

    def answers(self) -> NDArray[Any]:
        """Return decided classes of shape (samples, labels); of many labels, some."""
        return self._read(np.concatenate(self._answers))

    def _read(self, kept: NDArray[Any]) -> NDArray[Any]:
        """Return the reading that is right: of logits if some number was no probability."""
        return kept[:, kept.shape[1] - 1 if self._has_logits else 0]

    def _decisions(self, outputs: NDArray[Any], targets: NDArray[Any]) -> Decisions:
        return decide(outputs, targets, self.ignore, self.name)

    def _some(self, judged: float) -> None:
        if not judged:
            raise WorkloadError(f"the metric {self.name} has no label to judge: all are ignored")


class Accuracy(ClassMetric):
    """The share of labels whose class the model decided on, or has among its ``top_k``.

    Args:
        name: The name under which it is recorded.
        output: Which of the model's outputs it judges; the first if ``None``.
        ignore: A label that is not judged; negative labels never are.
        top_k: How many of the highest scores may hold the class.
    """

    def __init__(
        self,
        name: str = "accuracy",
        output: str | None = None,
        *,
        ignore: int | None = None,
        top_k: int = 1,
    ) -> None:
        super().__init__(name, output, ignore=ignore)
        self.top_k = top_k

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Keep per reading how many labels are right and how many are judged."""
        kept = super().of_samples(outputs, targets)
        if self.top_k > 1:
            kept[..., 0] = self._among_top(self.judged(outputs), single_target(targets, self.name))
        return kept

    def kept(self, given: NDArray[Any], decisions: Decisions) -> NDArray[Any]:
        """Return the number of labels that are right, and of those judged."""
        right = (given == decisions.right) & decisions.judged
        return np.stack([right.sum(axis=1), decisions.judged.sum(axis=1)], axis=1)

    def value(self, samples: NDArray[Any]) -> float:
        """Return the share of labels that are right."""
        right, judged = self._read(samples).sum(axis=0)
        self._some(judged)
        return float(right / judged)

    def per_sample(self) -> NDArray[np.float64] | None:
        """Return the share per sample, if all samples have equally many labels."""
        right, judged = self._read(self.samples).T
        return right / judged if len(set(judged.tolist())) == 1 and judged[0] else None

    def _among_top(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[Any]:
        decisions = self._decisions(outputs, targets)
        if not decisions.axis:
            raise WorkloadError(f"the metric {self.name} needs one score per class")
        labels = np.where(decisions.judged, decisions.right, 0)
        scores = np.moveaxis(outputs, decisions.axis, -1).reshape(*decisions.right.shape, -1)
        own = np.take_along_axis(scores, labels[..., None], axis=-1)
        among = ((scores > own).sum(axis=-1) < self.top_k) & decisions.judged
        return np.asarray(among.sum(axis=1)[:, None])


class Counted(ClassMetric):
    """A metric of how often each class was decided rightly, wrongly, or missed.

    With one label per sample, the pair of decided class and label is kept, and otherwise the three
    counts of each class.
    """

    def kept(self, given: NDArray[Any], decisions: Decisions) -> NDArray[Any]:
        """Return pairs of shape (samples, 2), or counts of shape (samples, 3, classes)."""
        if decisions.right.shape[1] == 1:
            right = np.where(decisions.judged, decisions.right, -1)
            return np.concatenate([given, right], axis=1)
        if not decisions.classes:
            raise WorkloadError(
                f"the metric {self.name} needs scores per class for several labels per sample; the "
                "model gives classes"
            )
        return np.stack(
            [
                _counts(own, right[judged], decisions.classes)
                for own, right, judged in zip(
                    (given[i][decisions.judged[i]] for i in range(len(given))),
                    decisions.right,
                    decisions.judged,
                    strict=True,
                )
            ]
        )

    def value(self, samples: NDArray[Any]) -> float:
        """Return the metric of the counts."""
        read = self._read(samples)
        if read.ndim == 3:
            counts = read.sum(axis=0)
        else:
            given, right = read[read[:, 1] >= 0].T
            classes = int(max(given.max(initial=0), right.max(initial=0))) + 1
            counts = _counts(given, right, classes)
        hits, wrong, missed = counts.astype(np.float64)
        self._some(float((hits + missed).sum()))
        return self.of_counts(hits, wrong, missed)

    def of_counts(
        self, hits: NDArray[np.float64], wrong: NDArray[np.float64], missed: NDArray[np.float64]
    ) -> float:
        """Return the metric of the counts of each class, each of shape (classes,)."""
        raise NotImplementedError


class BalancedAccuracy(Counted):
    """The share of samples decided rightly, averaged over the classes of the labels."""

    def __init__(
        self,
        name: str = "balanced_accuracy",
        output: str | None = None,
        *,
        ignore: int | None = None,
    ) -> None:
        super().__init__(name, output, ignore=ignore)

    def of_counts(
        self, hits: NDArray[np.float64], wrong: NDArray[np.float64], missed: NDArray[np.float64]
    ) -> float:
        """Return the mean recall of the classes that occur."""
        there = hits + missed > 0
        return float(np.mean(hits[there] / (hits + missed)[there]))


class F1(Counted):
    """The F1 score: averaged over the classes that occur (macro), or of all labels (micro)."""

    def __init__(
        self,
        name: str = "f1",
        output: str | None = None,
        *,
        ignore: int | None = None,
        average: Average = "macro",
    ) -> None:
        super().__init__(name, output, ignore=ignore)
        self.average = average

    def of_counts(
        self, hits: NDArray[np.float64], wrong: NDArray[np.float64], missed: NDArray[np.float64]
    ) -> float:
        """Return the harmonic mean of precision and recall."""
        if self.average == "micro":
            hits, wrong, missed = (np.array([each.sum()]) for each in (hits, wrong, missed))
        all_of = 2 * hits + wrong + missed
        return float(np.mean((2 * hits)[all_of > 0] / all_of[all_of > 0])) if all_of.any() else 0.0


class MultiLabelF1(F1):
    """F1 of several yes-or-no answers per sample; outputs and targets are (samples, labels)."""

    def __init__(
        self,
        name: str = "f1_multilabel",
        output: str | None = None,
        *,
        average: Average = "macro",
    ) -> None:
        super().__init__(name, output, average=average)

    def _decisions(self, outputs: NDArray[Any], targets: NDArray[Any]) -> Decisions:
        if outputs.shape != targets.shape or not np.isin(targets, (0, 1)).all():
            raise WorkloadError(
                f"the metric {self.name} needs targets of 0 and 1 in the outputs' shape "
                f"{list(outputs.shape)}; got {list(targets.shape)}"
            )
        flat, right = (each.reshape(len(each), -1) for each in (outputs, targets))
        outside = bool(((flat < 0) | (flat > 1)).any())
        given = np.stack([flat >= HALF, flat > 0]).astype(np.int64)
        judged = np.ones(right.shape, np.bool_)
        return Decisions(given, right.astype(np.int64), judged, 2, outside)

    def kept(self, given: NDArray[Any], decisions: Decisions) -> NDArray[Any]:
        """Return the three counts of each label."""
        yes, right = given == 1, decisions.right == 1
        return np.stack([yes & right, yes & ~right, ~yes & right], axis=1).astype(np.int64)

    def _some(self, judged: float) -> None:
        """No label need be there: then F1 is 0."""


class MeanIoU(Counted):
    """The mean over classes of the intersection of prediction and label over their union."""

    def __init__(
        self, name: str = "mean_iou", output: str | None = None, *, ignore: int | None = None
    ) -> None:
        super().__init__(name, output, ignore=ignore)

    def of_counts(
        self, hits: NDArray[np.float64], wrong: NDArray[np.float64], missed: NDArray[np.float64]
    ) -> float:
        """Return the mean over the classes that occur in predictions or labels."""
        union = hits + wrong + missed
        return float(np.mean(hits[union > 0] / union[union > 0]))


def _counts(given: NDArray[Any], right: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return how often each class was hit, wrongly given, and missed: (3, classes)."""
    same = given == right
    columns = (right[same], given[~same], right[~same])
    inside = [each[(each >= 0) & (each < classes)] for each in columns]
    return np.stack([np.bincount(each, minlength=classes) for each in inside])
