"""The metrics that a person can name: ``accuracy``, ``mse``, ``accuracy(top_k=5)``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from paretune.runners.workload.metrics.classes import (
    F1,
    Accuracy,
    BalancedAccuracy,
    MeanIoU,
    MultiLabelF1,
)
from paretune.runners.workload.metrics.detection import MeanAveragePrecision
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.metrics.ranking import Auroc, RecallAtK
from paretune.runners.workload.metrics.values import (
    R2,
    Cosine,
    MeanAbsoluteError,
    MeanSquaredError,
    Spearman,
)
from paretune.spaces import WorkloadError

NAMED: Mapping[str, Callable[..., QualityMetric]] = MappingProxyType(
    {
        "accuracy": Accuracy,
        "top5": partial(Accuracy, "top5_accuracy", top_k=5),
        "balanced-accuracy": BalancedAccuracy,
        "f1": F1,
        "f1-micro": partial(F1, "f1_micro", average="micro"),
        "f1-multilabel": MultiLabelF1,
        "auroc": Auroc,
        "mse": MeanSquaredError,
        "mae": MeanAbsoluteError,
        "r2": R2,
        "spearman": Spearman,
        "cosine": Cosine,
        "mean-iou": MeanIoU,
        "map": MeanAveragePrecision,
        "recall-at-k": RecallAtK,
    }
)
"""What makes each metric, by its name for ``--metric``. Metrics of text need a ``decode`` function
and so a file of one's own (see metrics/text.py).
"""


def named_metric(text: str) -> QualityMetric:
    """Return the metric of a name, with options in brackets: ``accuracy(ignore=255)``.

    Raises:
        WorkloadError: If there is no such metric or option.
    """
    name, bracket, options = text.partition("(")
    if name.strip() not in NAMED:
        raise WorkloadError(
            f"unknown metric {name.strip()!r}: choose {', '.join(NAMED)} or FILE.py:FUNCTION"
        )
    make = NAMED[name.strip()]
    if not bracket:
        return make()
    try:
        return make(**_options(options.rpartition(")")[0]))
    except (SyntaxError, ValueError, TypeError) as error:
        raise WorkloadError(
            f"metric {text!r} cannot be made: {error}; write options as NAME=VALUE, such as "
            "accuracy(top_k=5, ignore=255) or mse(output='boxes')"
        ) from error


def is_named(text: str) -> bool:
    """Return whether a text begins with the name of a metric, rather than names a file."""
    return text.partition("(")[0].strip() in NAMED


def _options(text: str) -> dict[str, Any]:
    call = ast.parse(f"f({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("options need names")
    return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
