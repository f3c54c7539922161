"""Corrections of the surrogates: possible surprises, and bounds."""

from collections.abc import Mapping

import numpy as np
import pytest

from paretune.search.propose.surrogates.model_doubt import (
    doubts,
    least_losses,
    surprises,
    training_of,
)
from paretune.search.record.objective import Objective, default_objectives
from paretune.spaces import Candidate, SearchSpace

GOALS = default_objectives("accuracy")
ACCURACY = {goal.metric: column for column, goal in enumerate(GOALS)}["accuracy"]
BASE = {"accuracy": 0.9, "latency_p95_ms": 4.0, "throughput_samples_per_s": 250.0}


def candidate(space: SearchSpace, **values: object) -> Candidate:
    return Candidate.from_params({**space.baseline.params, **values})


def test_only_what_has_to_be_trained_can_surprise(space: SearchSpace) -> None:
    pool = [
        candidate(space, quantization="int8-static"),  # of the model that was measured
        candidate(space, batch_size=8),
        candidate(space, pruning_ratio=0.5),
        candidate(space, student="small"),
    ]
    found = surprises(pool, [space.baseline], GOALS)
    assert found.shape == (4, len(GOALS))
    assert not found[:2].any() and (found[2:] > 0).all()
    # A time may be off by far more, being a logarithm, than the share of right answers.
    assert found[2, ACCURACY] < np.delete(found[2], ACCURACY).min()
    known = [space.baseline, candidate(space, student="small", quantization="fp32", batch_size=8)]
    again = surprises(pool, known, GOALS)
    assert not again[3].any() and again[2].any()


def test_a_training_is_a_student_and_a_ratio(space: SearchSpace) -> None:
    one = candidate(space, student="small", pruning_ratio=0.5, quantization="int8-static")
    assert training_of(one) == ("small", 0.5)


@pytest.mark.parametrize("failed", [None, {}])
def test_a_build_that_failed_is_doubted_as_one_never_tried(
    space: SearchSpace, failed: Mapping[str, float] | None
) -> None:
    pool = [space.baseline, candidate(space, batch_size=8), candidate(space, student="small")]
    known: dict[Candidate, Mapping[str, float] | None] = {space.baseline: BASE, pool[2]: failed}
    means = np.tile([goal.loss(BASE[goal.metric]) for goal in GOALS], (3, 1))
    means[:, ACCURACY] += 0.2
    found = doubts(pool, known, GOALS, "accuracy", means, BASE)
    assert not found[:2].any()  # one file, run in two ways: its quality is known
    assert found[2, ACCURACY] > 0 and not np.delete(found[2], ACCURACY).any()
    # The more quality is expected to change, either way, the less sure it is.
    twice = means.copy()
    twice[:, ACCURACY] += 0.2
    more = doubts(pool, known, GOALS, "accuracy", twice, BASE)
    assert more[2, ACCURACY] == pytest.approx(2 * found[2, ACCURACY])
    better = means.copy()
    better[:, ACCURACY] -= 0.4
    assert doubts(pool, known, GOALS, "accuracy", better, BASE) == pytest.approx(found)


def test_no_build_is_expected_to_be_much_better_than_one_compressed_less(
    space: SearchSpace,
) -> None:
    pruned = candidate(space, pruning_ratio=0.5)
    pool = [
        space.baseline,
        candidate(space, pruning_ratio=0.5, quantization="int8-static"),
        candidate(space, student="small"),
    ]
    known = {space.baseline: BASE, pruned: BASE | {"accuracy": 0.7}}
    least = least_losses(pool, known, GOALS, "accuracy")
    assert least.shape == (3, len(GOALS))
    assert np.isneginf(np.delete(least, ACCURACY, axis=1)).all()  # times are bounded by nothing
    assert np.isneginf(least[0, ACCURACY])  # nothing is compressed less than the baseline
    margin = 0.01 * 0.9
    assert least[1, ACCURACY] == pytest.approx(-0.7 - margin)
    assert least[2, ACCURACY] == pytest.approx(-0.9 - margin)


def test_the_best_that_was_measured_of_a_build_is_what_bounds_others(space: SearchSpace) -> None:
    worse = candidate(space, batch_size=8)
    known = {worse: BASE | {"accuracy": 0.6}, space.baseline: BASE}
    pool = [candidate(space, student="small")]
    both = least_losses(pool, known, GOALS, "accuracy")
    alone = least_losses(pool, {worse: BASE | {"accuracy": 0.6}}, GOALS, "accuracy")
    assert both[0, ACCURACY] < alone[0, ACCURACY]
    with_failure = least_losses(pool, known | {pool[0]: None}, GOALS, "accuracy")
    assert with_failure == pytest.approx(both)


def test_without_the_quality_among_the_goals_nothing_is_bounded(space: SearchSpace) -> None:
    goals = [Objective("latency_p95_ms", "minimize")]
    pool = [candidate(space, student="small")]
    known = {space.baseline: BASE}
    assert np.isneginf(least_losses(pool, known, goals, "accuracy")).all()
    means = np.zeros((1, 1))
    assert not doubts(pool, known, goals, "accuracy", means, BASE).any()
