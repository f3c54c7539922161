"""The mean average precision of detected boxes, as COCO defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.metric import Outputs, SampleMetric
from paretune.spaces import WorkloadError

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""Overlaps (intersection over union) from which a box is found; the metric is their mean: COCO."""

_RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read: COCO's."""


@dataclass(frozen=True)
class _Picture:
    """What is kept of a picture.

    Attributes:
        scores: Of each detection, (detections,).
        labels: Of each detection.
        found: Whether a detection finds a box, at each overlap: (overlaps, detections).
        boxes: Labels of the boxes that are there.
    """

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    found: NDArray[np.bool_]
    boxes: NDArray[np.int64]


class MeanAveragePrecision(SampleMetric):
    """Mean average precision over classes and overlaps of 0.5 to 0.95 (Lin et al., COCO, 2014).

    Targets are a list with a mapping per picture, ``boxes`` of shape (n, 4) and ``labels`` of shape
    (n,); or a mapping of arrays with as many rows for each picture, where the label -1 is padding.
    Boxes are left, top, right, bottom.

    Args:
        name: The name under which it is recorded.
        boxes: The output with boxes of shape (pictures, detections, 4).
        scores: The output with scores of shape (pictures, detections), or (pictures, detections,
            classes) without ``labels``.
        labels: The output with classes of shape (pictures, detections).
        most: Detections that count per picture, those of the highest scores.
    """

    is_mean = False

    def __init__(
        self,
        name: str = "map",
        *,
        boxes: str = "boxes",
        scores: str = "scores",
        labels: str | None = "labels",
        most: int = 100,
    ) -> None:
        super().__init__(name)
        self.boxes, self.scores, self.labels = boxes, scores, labels
        self.most = most

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Match the detections of each picture with its boxes."""
        boxes, scores = (self._named(outputs, name) for name in (self.boxes, self.scores))
        if self.labels is None:
            labels, scores = scores.argmax(axis=-1), scores.max(axis=-1)
        else:
            labels = self._named(outputs, self.labels)
        kept: NDArray[Any] = np.empty(len(boxes), np.object_)
        for place, (right, classes) in enumerate(_pictures(targets, len(boxes), self.name)):
            best = np.argsort(-scores[place], kind="stable")[: self.most]
            kept[place] = _matched(
                boxes[place][best].astype(np.float64),
                scores[place][best].astype(np.float64),
                labels[place][best].astype(np.int64),
                right,
                classes,
            )
        return kept

    def value(self, samples: NDArray[Any]) -> float:
        """Return the mean over the classes that are there of their average precisions."""
        there = np.concatenate([picture.boxes for picture in samples])
        if not len(there):
            raise WorkloadError(f"the metric {self.name} needs a picture with a box")
        scores = np.concatenate([picture.scores for picture in samples])
        labels = np.concatenate([picture.labels for picture in samples])
        found = np.concatenate([picture.found for picture in samples], axis=1)
        precisions = []
        for label in np.unique(there):
            own = labels == label
            order = np.argsort(-scores[own], kind="stable")
            boxes = int((there == label).sum())
            precisions += [_average(hits[order], boxes) for hits in found[:, own]]
        return float(np.mean(precisions))

    def _named(self, outputs: Outputs, name: str) -> NDArray[Any]:
        if name not in outputs:
            raise WorkloadError(
                f"the metric {self.name} needs the output {name!r}; the model has "
                f"{', '.join(outputs)}: say which output holds boxes, scores and labels"
            )
        return np.asarray(outputs[name])


def _pictures(targets: Any, count: int, name: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return boxes and classes of each picture."""
    if isinstance(targets, Mapping):
        targets = [
            {"boxes": boxes[labels >= 0], "labels": labels[labels >= 0]}
            for boxes, labels in zip(targets["boxes"], targets["labels"], strict=True)
        ]
    if len(targets) != count:
        raise WorkloadError(f"the metric {name} got {count} pictures and {len(targets)} targets")
    return [
        (
            np.asarray(each["boxes"], np.float64).reshape(-1, 4),
            np.asarray(each["labels"], np.int64).reshape(-1),
        )
        for each in targets
    ]


def _matched(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    right: NDArray[np.float64],
    classes: NDArray[np.int64],
) -> _Picture:
    """Give each detection, the likeliest first, the free box of its class that it covers best."""
    overlaps = _overlaps(boxes, right) * (labels[:, None] == classes[None])
    found = np.zeros((len(THRESHOLDS), len(boxes)), np.bool_)
    for row, least in enumerate(THRESHOLDS):
        free = np.ones(len(right), np.bool_)
        for place in range(len(boxes)):
            own = np.where(free, overlaps[place], 0.0)
            if len(own) and own.max() >= least:
                free[own.argmax()] = False
                found[row, place] = True
    return _Picture(scores, labels, found, classes)


def _overlaps(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return intersection over union of each box with each other box."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    inside = np.prod(np.maximum(high - low, 0.0), axis=2)
    area, other = (np.prod(np.maximum(b[:, 2:] - b[:, :2], 0.0), axis=1) for b in (some, others))
    found: NDArray[np.float64] = inside / np.maximum(area[:, None] + other[None] - inside, 1e-12)
    return found


def _average(hits: NDArray[np.bool_], boxes: int) -> float:
    """Return the mean precision over 101 recalls, of detections in the order of their scores."""
    right = np.cumsum(hits)
    recall, precision = right / boxes, right / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(best_from_here, 0.0)[places].mean())
