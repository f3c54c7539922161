"""Candidates that cannot finish by the deadline do not start."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from paretune.runners.workload.recipe import Recipe
from paretune.search.propose.cost import CostModel
from paretune.search.propose.strategy import ExhaustiveStrategy
from paretune.search.propose.time_limit import Affordable
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.review.terminal.trial_line import clock
from paretune.search.study.running import _untried
from paretune.spaces import Candidate, SearchSpace

Make = Callable[..., TrialRecord]
HOUR_S = 3600.0


@pytest.fixture
def rule(make_record: Make) -> Affordable:
    """The rule of a study whose baseline took two seconds, and whose students need days."""
    record = make_record(0, {})
    seconds = {"reference": 1.0, "export": 0.5, "measure": 0.5}
    lineage = {"reference": "1" * 64, "export": "2" * 64}
    record = replace(record, stage_seconds=seconds, lineage=lineage)
    history = History(default_objectives("accuracy"), records=[record])
    return Affordable(CostModel(history, Recipe(), {"small": 24 * HOUR_S}))


def student(space: SearchSpace) -> Candidate:
    return Candidate.from_params({**space.baseline.params, "student": "small"})


def test_without_a_deadline_everything_can_be_afforded(
    rule: Affordable, space: SearchSpace
) -> None:
    assert rule.deadline is None
    assert all(rule(candidate) is None for candidate in space.candidates())


def test_what_takes_longer_than_there_is_time_is_left_out(
    rule: Affordable, space: SearchSpace
) -> None:
    rule.deadline = time.monotonic() + HOUR_S
    measured_again = Candidate.from_params({**space.baseline.params, "batch_size": 8})
    assert rule(measured_again) is None
    reason = rule(student(space))
    assert reason is not None and "is expected to take" in reason and "s are left" in reason
    rule.deadline += 365 * 24 * HOUR_S
    assert rule(student(space)) is None


def test_once_time_is_up_nothing_is_left_and_none_of_it_is_negative(
    rule: Affordable, space: SearchSpace
) -> None:
    rule.deadline = time.monotonic() - HOUR_S
    for candidate in (student(space), space.baseline):
        reason = rule(candidate)
        assert reason is not None and "but only 0 s are left" in reason


def test_as_a_rule_of_the_space_it_holds_from_when_the_deadline_is_known(
    rule: Affordable, space: SearchSpace
) -> None:
    chooser = ExhaustiveStrategy(space.with_rules(rule))
    rule.deadline = time.monotonic() + HOUR_S
    while (candidate := chooser.propose()) is not None:
        assert candidate.build.student == "reference"
        chooser.observe(candidate, {})
    rule.deadline = None
    proposed = chooser.propose()
    assert proposed is not None  # another night has time for it


def test_the_time_left_is_shared_by_the_trials_left(rule: Affordable) -> None:
    rule.clock = lambda: 1000.0
    rule.trials = 4
    assert rule.seconds_per_trial() == math.inf
    rule.deadline = 1100.0
    assert rule.seconds_per_trial() == 25.0
    rule.deadline = 900.0
    assert rule.seconds_per_trial() == 0.0


def test_students_without_a_trial_are_named_with_the_time_of_a_first_one(
    rule: Affordable, space: SearchSpace, make_record: Make
) -> None:
    cost = rule.cost
    untried = _untried(space, cost)
    expected_s = cost.seconds(student(space))
    assert f"small (its first trial takes about {clock(expected_s)})" in untried
    assert "reference" not in untried
    cost.history.add(replace(make_record(1, None), candidate=student(space)))
    assert "small" not in _untried(space, cost)
