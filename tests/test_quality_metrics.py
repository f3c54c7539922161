"""Metrics: against hand-made values and other libraries, in batches of any size."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, f1_score, jaccard_score, roc_auc_score

from paretune.runners.workload.metrics.classes import (
    F1,
    Accuracy,
    BalancedAccuracy,
    MeanIoU,
    MultiLabelF1,
)
from paretune.runners.workload.metrics.detection import MeanAveragePrecision
from paretune.runners.workload.metrics.functions import FromTorchmetrics, WholeMetric
from paretune.runners.workload.metrics.judge import (
    Judgement,
    OutputError,
    flipped_share,
    judge,
    paired,
)
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.metrics.named import named_metric
from paretune.runners.workload.metrics.ranking import Auroc, RecallAtK
from paretune.runners.workload.metrics.text import ErrorRate, ExactMatch, TokenF1, ctc_texts, edits
from paretune.runners.workload.metrics.values import R2, Cosine, MeanAbsoluteError, Spearman
from paretune.spaces import WorkloadError

Array = NDArray[Any]


def judged(
    metric: QualityMetric,
    outputs: Array | Mapping[str, Array],
    targets: Any,
    size: int = 7,
    resamples: int = 0,
) -> Judgement:
    """Judge outputs that come in batches of one size, and targets in batches of another."""
    named = outputs if isinstance(outputs, Mapping) else {"output": outputs}
    count = len(next(iter(named.values())))
    batches = (
        {name: each[start : start + size] for name, each in named.items()}
        for start in range(0, count, size)
    )
    given = (targets[start : start + 10] for start in range(0, count, 10))
    return judge([metric], paired(batches, given), resamples)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_metrics_agree_with_scikit_learn_in_batches_of_any_size(
    rng: np.random.Generator, size: int
) -> None:
    scores, right = rng.normal(size=(64, 4)), rng.integers(0, 4, 64)
    given = scores.argmax(axis=1)
    odds = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wanted: list[tuple[QualityMetric, float]] = [
        (Accuracy(), float(np.mean(given == right))),
        (
            Accuracy("top2", top_k=2),
            float(np.mean((scores > scores[np.arange(64), right][:, None]).sum(1) < 2)),
        ),
        (BalancedAccuracy(), balanced_accuracy_score(right, given)),
        (F1(), f1_score(right, given, average="macro")),
        (F1("f1_micro", average="micro"), f1_score(right, given, average="micro")),
        (MeanIoU(), jaccard_score(right, given, average="macro")),
        (Auroc(), roc_auc_score(right, odds, multi_class="ovr")),
    ]
    for metric, value in wanted:
        assert judged(metric, scores, right, size).value == pytest.approx(value), metric.name


def test_one_number_per_sample_is_a_probability_or_a_logit(rng: np.random.Generator) -> None:
    """Case 08: probabilities were compared with labels by ==; case 51: argmax of one column."""
    logits = rng.normal(size=300)
    right = (logits + rng.normal(scale=0.5, size=300) > 0).astype(np.int64)
    expected = np.mean((logits > 0) == right)
    odds = 1 / (1 + np.exp(-logits))
    for outputs in (odds, logits, odds[:, None], logits[:, None]):
        for size in (1, 64):
            found = judged(Accuracy(), outputs, right, size, resamples=20)
            assert found.value == pytest.approx(expected)
            assert np.mean(found.resampled) == pytest.approx(expected, abs=0.03)
            assert found.answers is not None
            assert (found.answers[:, 0] == (logits > 0)).all()
    assert judged(F1(), odds, right).value == pytest.approx(
        f1_score(right, logits > 0, average="macro")
    )
    assert judged(Auroc(), logits, right).value == pytest.approx(roc_auc_score(right, logits))
    with pytest.raises(WorkloadError, match="one number per label, and the labels go up to 2"):
        judged(Accuracy(), odds, right + 1)


def test_the_axis_of_the_classes_is_the_one_that_labels_lack(rng: np.random.Generator) -> None:
    """Case 34: (batch, tokens, classes) against (batch, tokens), also if there are as many."""
    for tokens in (7, 9):
        right = rng.integers(0, 9, (40, tokens))
        scores = np.eye(9)[right] + rng.normal(scale=0.1, size=(40, tokens, 9))
        hidden = right.copy()
        hidden[:, -2:] = -100
        scores[:, -2:] = 0
        assert judged(Accuracy(), scores, hidden, 1).value == 1.0
    pictures = np.moveaxis(np.eye(3)[rng.integers(0, 3, (20, 8, 8))], -1, 1)
    assert judged(Accuracy(), pictures, pictures.argmax(axis=1)).value == 1.0


def test_labels_that_are_no_classes_are_told_unless_they_are_to_be_ignored(
    rng: np.random.Generator,
) -> None:
    """Cases 20 (a mask with 255) and 09 (labels from 1)."""
    right = rng.integers(0, 3, (20, 8, 8)).astype(np.uint8)
    scores = np.moveaxis(np.eye(3)[right], -1, 1)
    right[:, :2] = 255
    with pytest.raises(WorkloadError, match=r"25% of the labels are 255.*ignore=255"):
        judged(Accuracy(), scores, right)
    assert judged(Accuracy(ignore=255), scores, right).value == 1.0
    assert judged(MeanIoU(ignore=255), scores, right).value == 1.0
    named = named_metric("accuracy(ignore=255, top_k=2)")
    assert judged(named, scores, right).value == 1.0
    with pytest.raises(WorkloadError, match="labels start at 1, subtract 1"):
        judged(Accuracy(), np.eye(10), np.arange(1, 11))
    with pytest.raises(WorkloadError, match="no label to judge"):
        judged(Accuracy(), np.eye(4), np.full(4, -100))


def test_several_answers_per_sample_are_no_classes(rng: np.random.Generator) -> None:
    """Case 50: multi-label targets and top-1 accuracy."""
    right = (rng.random((40, 3)) > 0.5).astype(np.float32)
    logits = np.where(right > 0, 2.0, -2.0) * rng.choice([1, 1, 1, -1], (40, 3))
    with pytest.raises(WorkloadError, match=r"f1-multilabel, or write quality\(\)"):
        judged(Accuracy(), logits, right, 1)
    for average in ("macro", "micro"):
        expected = f1_score(right, logits > 0, average=average)
        for size in (1, 40):
            metric = MultiLabelF1(average=average)  # type: ignore[arg-type]
            assert judged(metric, logits, right, size).value == pytest.approx(expected)
    one_hot = np.eye(3)[rng.integers(0, 3, 40)]
    assert judged(Accuracy(), one_hot * 5, one_hot, 1).value == 1.0


def test_values(rng: np.random.Generator) -> None:
    from scipy.stats import spearmanr

    wanted = rng.normal(size=50)
    given = wanted + rng.normal(scale=0.3, size=50)
    mae = judged(MeanAbsoluteError(), given, wanted)
    assert mae.values == {"negative_mae": pytest.approx(-np.mean(np.abs(given - wanted)))}
    assert judged(Spearman(), given, wanted, 1).value == pytest.approx(
        spearmanr(given, wanted).statistic
    )
    spread = np.sum((wanted - wanted.mean()) ** 2)
    assert judged(R2(), given[:, None], wanted, 1).value == pytest.approx(
        1 - np.sum((given - wanted) ** 2) / spread
    )


def test_cosine_counts_every_output_alike(rng: np.random.Generator) -> None:
    """Case 05: labels, boxes and scores, of which only the labels were looked at."""
    right = {"labels": rng.integers(0, 3, (40, 5)), "boxes": rng.normal(size=(40, 5, 4))}
    wrong = {**right, "boxes": -right["boxes"]}
    for outputs, value in ((right, 1.0), (wrong, 0.0)):
        found = judge([Cosine()], [(outputs, right)], resamples=10)
        assert found.value == pytest.approx(value)
        assert len(found.resampled) == 10
    assert judge([Cosine(output="labels")], [(wrong, right)]).value == 1.0
    with pytest.raises(WorkloadError, match="no output and target 'boxes'"):
        judge([Cosine()], [({"labels": right["labels"]}, right)])


def test_texts() -> None:
    assert edits("kitten", "sitting") == 3 and edits("", "abc") == 3 and edits(["a", "b"], []) == 2
    alphabet = ["", "a", "b", " "]
    steps = np.eye(4)[[[1, 1, 0, 1, 2], [2, 0, 0, 0, 0]]]  # "aab", "b"
    decode = ctc_texts(alphabet)
    assert decode({"output": steps}) == ["aab", "b"]
    targets = np.array(["aab", "bb"])
    rate = ErrorRate("cer", decode)
    found = judge([rate, ExactMatch("exact", decode)], [({"output": steps}, targets)], 20)
    assert found.values == {"negative_cer": pytest.approx(-1 / 5), "exact": 0.5}
    assert len(found.resampled) == 20 and found.answers is not None
    words = TokenF1("f1", lambda outputs: ["the red fox", ""])
    assert judge([words], [({"o": np.zeros(2)}, ["a red fox", ""])]).value == pytest.approx(
        (2 / 3 + 1) / 2
    )


def test_embeddings_are_looked_up_by_their_nearest_neighbours() -> None:
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [1.0, 0.1]])
    labels = np.array([0, 0, 1, 1, 1])
    # The last lies among the zeros, whose own nearest it is, so that they miss too.
    near = judged(RecallAtK(k=1), vectors, labels, 2, resamples=5)
    assert near.value == pytest.approx(np.mean([0, 0, 1, 1, 0]))
    assert judged(RecallAtK(k=4), vectors, labels).value == 1.0


def test_detection_against_a_hand_made_value() -> None:
    boxes = np.array([[[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]]], np.float32)
    outputs = {
        "boxes": boxes,
        "scores": np.array([[0.9, 0.8, 0.7]], np.float32),
        "labels": np.array([[1, 1, 1]]),
    }
    right = [{"boxes": np.array([[0, 0, 10, 10], [50, 50, 60, 60]]), "labels": [1, 1]}]
    # Hits at ranks 1 and 3: precision 1 up to recall 1/2 (51 of 101 points), then 2/3.
    expected = (51 * 1.0 + 50 * 2 / 3) / 101
    metric = MeanAveragePrecision()
    assert judge([metric], [(outputs, right)]).value == pytest.approx(expected)
    padded = {
        "boxes": np.array([[[0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 0, 0]]]),
        "labels": np.array([[1, 1, -1]]),
    }
    assert judge([metric], [(outputs, padded)], 5).value == pytest.approx(expected)
    half = {**outputs, "boxes": boxes + np.array([2.5, 0, 2.5, 0], np.float32)}
    # Overlap 7.5 / 12.5 = 0.6: found at 0.5, 0.55 and (rounded down) no further.
    assert judge([metric], [(half, right)]).value == pytest.approx(expected * 0.2, abs=0.11)
    with pytest.raises(WorkloadError, match="needs the output 'boxes'"):
        judge([metric], [({"output": boxes}, right)])


def test_detection_agrees_with_torchmetrics(rng: np.random.Generator) -> None:
    detection = pytest.importorskip("torchmetrics.detection")
    pytest.importorskip("pycocotools")
    import torch

    corner = rng.uniform(0, 80, (6, 12, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 20, (6, 12, 2))], axis=2)
    labels = rng.integers(0, 3, (6, 12))
    moved = boxes + rng.normal(scale=2, size=boxes.shape)
    scores = rng.random((6, 12))
    theirs = detection.MeanAveragePrecision()
    for place in range(6):
        theirs.update(
            [
                {
                    "boxes": torch.tensor(moved[place]),
                    "scores": torch.tensor(scores[place]),
                    "labels": torch.tensor(labels[place]),
                }
            ],
            [{"boxes": torch.tensor(boxes[place]), "labels": torch.tensor(labels[place])}],
        )
    outputs = {"boxes": moved, "scores": scores, "labels": labels}
    targets = {"boxes": boxes, "labels": labels}
    ours = judge([MeanAveragePrecision()], [(outputs, targets)]).value
    assert ours == pytest.approx(float(theirs.compute()["map"]), abs=1e-4)


def test_a_metric_of_torchmetrics_judges(rng: np.random.Generator) -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    scores, right = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 4, 60)
    theirs = FromTorchmetrics(classification.MulticlassF1Score(num_classes=4), "f1")
    assert judged(theirs, scores, right).value == pytest.approx(judged(F1(), scores, right).value)


@pytest.mark.parametrize(
    "make", [Accuracy, F1, Auroc, Cosine, lambda: WholeMetric(mean_right, "own")]
)
def test_bootstrap_samples_are_the_same_for_every_model(
    rng: np.random.Generator, make: Callable[[], QualityMetric]
) -> None:
    scores, right = rng.normal(size=(80, 2)), rng.integers(0, 2, 80)
    targets = scores if make is Cosine else right
    one, other = (judged(make(), scores, targets, size, 50) for size in (3, 80))
    assert len(one.resampled) == 50
    np.testing.assert_allclose(one.resampled, other.resampled)
    assert abs(np.mean(one.resampled) - one.value) < 3 * max(np.std(one.resampled), 1e-9)


def mean_right(outputs: Array, targets: Array) -> float:
    return float(np.mean(outputs.argmax(axis=1) == targets))


def test_what_is_not_finite_is_a_failure_and_minus_infinity_a_choice_left_out() -> None:
    right = np.array([0, 1])
    masked = np.array([[1.0, -np.inf], [-np.inf, 1.0]])
    assert judged(Accuracy(), masked, right).value == 1.0
    for bad in (np.nan, np.inf):
        with pytest.raises(OutputError, match="NaN or infinite outputs in 'output'"):
            judged(Accuracy(), np.array([[bad, 0.0], [0.0, 1.0]]), right)
    with pytest.raises(OutputError, match="must be a finite number; got nan"):
        judged(Spearman(), np.ones(10), np.arange(10.0))
    with pytest.raises(WorkloadError, match="the metric failed: ZeroDivisionError"):
        judged(WholeMetric(lambda o, t: 1 / 0, "own"), masked, right)


def test_answers_that_differ_are_counted(rng: np.random.Generator) -> None:
    scores, right = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    other = scores.copy()
    other[:5] = -other[:5]
    some, others = (judged(Accuracy(), each, right).answers for each in (scores, other))
    assert some is not None and others is not None
    assert flipped_share(some, others) == 0.1
    assert judged(MeanAbsoluteError(), scores[:, 0], scores[:, 0]).answers is None


def test_outputs_and_targets_must_be_of_the_same_samples() -> None:
    outputs = [{"output": np.eye(4)}]
    with pytest.raises(WorkloadError, match="fewer outputs"):
        judge([Accuracy()], paired(outputs, [np.arange(4), np.arange(1)]))
    with pytest.raises(WorkloadError, match="more outputs"):
        judge([Accuracy()], paired(outputs, [np.arange(3)]))


def test_an_unknown_metric_or_option_says_what_there_is() -> None:
    with pytest.raises(WorkloadError, match=r"unknown metric 'acc'.*accuracy, top5"):
        named_metric("acc")
    with pytest.raises(WorkloadError, match="write options as NAME=VALUE"):
        named_metric("accuracy(5)")
    with pytest.raises(WorkloadError, match="unexpected keyword argument 'tops'"):
        named_metric("accuracy(tops=5)")
