"""The metrics that come with Paretune, to be returned by ``Workload.metrics()``.

>>> from paretune.metrics import F1, Accuracy
>>> Accuracy(top_k=5, ignore=255).name
'accuracy'
"""

from paretune.runners.workload.metrics.classes import (
    F1,
    Accuracy,
    BalancedAccuracy,
    MeanIoU,
    MultiLabelF1,
)
from paretune.runners.workload.metrics.detection import MeanAveragePrecision
from paretune.runners.workload.metrics.functions import FromTorchmetrics, WholeMetric
from paretune.runners.workload.metrics.metric import QualityMetric, SampleMetric
from paretune.runners.workload.metrics.ranking import Auroc, RecallAtK
from paretune.runners.workload.metrics.text import ErrorRate, ExactMatch, TokenF1, ctc_texts
from paretune.runners.workload.metrics.values import (
    R2,
    Cosine,
    MeanAbsoluteError,
    MeanSquaredError,
    Spearman,
)

__all__ = [
    "F1",
    "R2",
    "Accuracy",
    "Auroc",
    "BalancedAccuracy",
    "Cosine",
    "ErrorRate",
    "ExactMatch",
    "FromTorchmetrics",
    "MeanAbsoluteError",
    "MeanAveragePrecision",
    "MeanIoU",
    "MeanSquaredError",
    "MultiLabelF1",
    "QualityMetric",
    "RecallAtK",
    "SampleMetric",
    "Spearman",
    "TokenF1",
    "WholeMetric",
    "ctc_texts",
]
