"""The contract of every strategy."""

import math

import numpy as np
import pytest
from conftest import SMALL_SPACE, TINY_SPACE
from optuna.trial import TrialState

from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.strategy import ExhaustiveStrategy, OptunaStrategy, Strategy, WarmStart
from paretune.search.propose.surrogates.model_doubt import training_of
from paretune.search.record.hypervolume import hypervolume
from paretune.search.record.objective import (
    Constraint,
    Objective,
    default_objectives,
    losses,
    reference_point,
)
from paretune.search.record.pareto import non_dominated
from paretune.search.record.wish import ANYTHING, Wish
from paretune.spaces import Candidate, Forbid, SearchSpace

SAMPLERS = ["gp", "tpe", "nsga2", "random", "exhaustive", "frontier"]
EVERYTHING = Wish(min_quality=0.0)
LARGE = {
    **SMALL_SPACE,
    "pruning_ratio": [0.0, 0.25, 0.5, 0.75],
    "batch_size": [1, 2, 4, 8, 16, 32],
    "intra_op_threads": [1, 2, 4],
}


def metrics(candidate: Candidate) -> dict[str, float]:
    """An analytic trade-off between accuracy and latency."""
    work = (1 - candidate.build.pruning_ratio) * (1 if candidate.build.student == "small" else 4)
    latency_ms = work * candidate.run.batch_size**0.8 * candidate.build.quantization.weight_bits
    return {
        "accuracy": 1 - math.exp(-work),
        "latency_p95_ms": latency_ms,
        "throughput_samples_per_s": 1000 * candidate.run.batch_size / latency_ms,
    }


def strategy(space: SearchSpace, sampler: str, seed: int = 0) -> Strategy:
    if sampler == "frontier":
        return FrontierStrategy(space, default_objectives("accuracy"), seed=seed)
    if sampler == "exhaustive":
        return ExhaustiveStrategy(space)
    return OptunaStrategy(space, default_objectives("accuracy"), sampler=sampler, seed=seed)


def try_out(chooser: Strategy, count: int) -> list[Candidate]:
    """Let a strategy propose candidates and observe their outcomes; return the candidates."""
    found = []
    for _ in range(count):
        candidate = chooser.propose()
        assert candidate is not None
        found.append(candidate)
        chooser.observe(candidate, metrics(candidate))
    return found


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_proposal_is_new_and_valid_until_the_space_is_empty(sampler: str) -> None:
    rule = Forbid({"student": "small", "batch_size": 8}, "not this")
    space = SearchSpace.from_values(TINY_SPACE, [rule])
    chooser, seen = strategy(space, sampler), set()
    while (candidate := chooser.propose()) is not None:
        assert candidate not in seen
        assert space.reason_against(candidate) is None
        seen.add(candidate)
        chooser.observe(candidate, metrics(candidate))
    assert seen == set(space.candidates())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_others_work_on_is_not_proposed(space: SearchSpace, sampler: str) -> None:
    chooser, pending = strategy(space, sampler), []
    chooser.observe(space.baseline, metrics(space.baseline))
    while (candidate := chooser.propose(pending)) is not None:
        assert candidate not in pending
        pending.append(candidate)
    assert {*pending, space.baseline} == set(space.candidates())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_baseline_comes_first(space: SearchSpace, sampler: str) -> None:
    assert strategy(space, sampler).propose() == space.baseline


def test_a_resumed_strategy_continues_where_it_was() -> None:
    space = SearchSpace.from_values(LARGE)
    history = try_out(strategy(space, "tpe"), 15)
    resumed = strategy(space, "tpe")
    for candidate in history:
        resumed.observe(candidate, metrics(candidate))
    assert resumed.propose() not in history


def test_one_seed_gives_one_sequence() -> None:
    def sequence(seed: int) -> list[Candidate]:
        return try_out(strategy(SearchSpace.from_values(LARGE), "tpe", seed), 20)

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)


@pytest.mark.parametrize(
    ("sampler", "share"),
    [
        pytest.param("gp", 1 / 6, marks=pytest.mark.slow),
        ("tpe", 1 / 4),
        ("frontier", 1 / 6),
    ],
)
def test_what_fails_is_learned_to_be_avoided(sampler: str, share: float) -> None:
    """A third of the space fails; after a while far fewer of the proposals do."""
    space = SearchSpace.from_values(LARGE)
    chooser, failed = strategy(space, sampler), []
    for _ in range(60):
        candidate = chooser.propose()
        assert candidate is not None
        fails = candidate.run.intra_op_threads == 4
        failed.append(fails)
        chooser.observe(candidate, None if fails else metrics(candidate))
    assert sum(failed[20:]) / len(failed[20:]) < share


def test_failures_before_the_first_measurement_are_kept(space: SearchSpace) -> None:
    chooser = OptunaStrategy(space, default_objectives("accuracy"), sampler="tpe")
    for _ in range(3):
        candidate = chooser.propose()
        assert candidate is not None
        chooser.observe(candidate, None)
    candidate = chooser.propose()
    assert candidate is not None
    chooser.observe(candidate, metrics(candidate))
    states = [trial.constraints for trial in chooser._study.trials if trial.values]
    assert len(states) == 4


@pytest.mark.parametrize("sampler", ["gp", "tpe", "nsga2"])
def test_a_sampler_sees_candidates_in_work_as_running(sampler: str) -> None:
    space = SearchSpace.from_values(LARGE)
    chooser = OptunaStrategy(space, default_objectives("accuracy"), sampler=sampler)
    try_out(chooser, 12)
    first = chooser.propose()
    assert first is not None
    second = chooser.propose([first])
    assert second is not None and second != first

    def running() -> list[Candidate]:
        trials = chooser._study.get_trials(states=[TrialState.RUNNING])
        return [chooser._decode(trial.params) for trial in trials]

    third = chooser.propose([first, second])
    assert third not in (None, first, second) and set(running()) == {first, second}
    chooser.observe(first, metrics(first))
    chooser.propose([second])
    assert running() == [second]
    chooser.observe(second, None)
    chooser.propose()
    assert running() == []


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_constraint_steers_the_sampler(sampler: str) -> None:
    space = SearchSpace.from_values(LARGE)
    limit = Constraint("latency_p95_ms", maximum=30.0)
    objectives = [Objective("accuracy", "maximize"), Objective("latency_p95_ms", "minimize")]
    chooser = OptunaStrategy(space, objectives, [limit], sampler=sampler, seed=1)
    kept = []
    for _ in range(45):
        candidate = chooser.propose()
        assert candidate is not None
        kept.append(limit.violation(metrics(candidate)["latency_p95_ms"]) <= 0)
        chooser.observe(candidate, metrics(candidate))
    share = sum(metrics(c)["latency_p95_ms"] <= 30 for c in space.candidates()) / space.size
    assert sum(kept[15:]) / len(kept[15:]) > 1.5 * share


@pytest.mark.slow
def test_our_strategy_finds_a_better_frontier_than_chance() -> None:
    space, goals = SearchSpace.from_values(LARGE), default_objectives("accuracy")
    reference = np.array(reference_point(metrics(space.baseline), goals))

    def volume(sampler: str, seed: int) -> float:
        found = try_out(strategy(space, sampler, seed), 24)
        return float(hypervolume(losses([metrics(one) for one in found], goals), reference))

    ours, chance = ([volume(name, seed) for seed in range(3)] for name in ("frontier", "random"))
    assert min(ours) > max(chance)


def test_the_first_training_is_run_at_all_ends_of_the_run_axes() -> None:
    """The gain of threads depends on the batch size: changing one axis at a time would not show
    it."""
    space = SearchSpace.from_values(LARGE)

    def ways(seconds_per_trial: float, wish: Wish = EVERYTHING) -> set[tuple[int, int]]:
        goals = default_objectives("accuracy")
        chooser = FrontierStrategy(
            space, goals, seconds_per_trial=lambda: seconds_per_trial, wish=wish
        )
        found = [c for c in try_out(chooser, 14) if c.build.student == "small"]
        alike = [c.run for c in found[:4] if c.build == found[0].build]
        return {(run.batch_size, run.intra_op_threads) for run in alike}

    ends = {(1, 1), (1, 4), (32, 1), (32, 4)}
    assert ways(seconds_per_trial=0.5) == ends
    # A trial that is worth more than its second is not spent on that.
    assert ways(seconds_per_trial=2.0) != ends
    # The small student loses a third of the quality: by itself, that does not count.
    assert len(ways(0.5, ANYTHING)) == 1


def test_costs_count_with_a_limit_of_trials_and_count_more_with_one_of_time() -> None:
    space = SearchSpace.from_values({**LARGE, "pruning_ratio": [i / 20 for i in range(16)]})

    def spent(seconds_per_trial: float, *, knows_costs: bool = True) -> float:
        """Return the seconds of 20 trials, in which trainings of the reference take longest."""
        trained: set[tuple[str, float]] = set()

        def cost(candidate: Candidate) -> float:
            if training_of(candidate) in trained:
                return 1.0
            return 20.0 if candidate.build.student == "small" else 200.0

        chooser, seconds = (
            FrontierStrategy(
                space,
                default_objectives("accuracy"),
                cost=cost if knows_costs else lambda candidate: 1.0,
                seconds_per_trial=lambda: seconds_per_trial,
            ),
            0.0,
        )
        for _ in range(20):
            candidate = chooser.propose()
            assert candidate is not None
            seconds += cost(candidate)
            trained.add(training_of(candidate))
            chooser.observe(candidate, metrics(candidate))
        return seconds

    assert spent(0.0) < spent(math.inf) < spent(math.inf, knows_costs=False)


def test_a_warm_start_tries_what_is_known_first(space: SearchSpace) -> None:
    everyone = list(space.candidates())
    known = [everyone[-1], everyone[-3]]
    elsewhere = SearchSpace.from_values({**SMALL_SPACE, "batch_size": [1, 64]})
    outside = [c for c in elsewhere.candidates() if c.run.batch_size == 64][:1]
    chooser = WarmStart(strategy(space, "random"), space, [*outside, *known])
    tried = try_out(chooser, 4)
    assert tried[:3] == [space.baseline, *known]
    assert tried[3] not in tried[:3]


@pytest.mark.parametrize("slower", [1.0, 3.0])
def test_an_earlier_study_makes_the_first_proposals_better(slower: float) -> None:
    space, goals = SearchSpace.from_values(LARGE), default_objectives("accuracy")
    reference = reference_point(metrics(space.baseline), goals)
    outside = SearchSpace.from_values({**LARGE, "batch_size": [1, 64]})
    foreign = {c: metrics(c) for c in outside.candidates() if c.run.batch_size == 64}
    gains = []
    for seed in range(3):
        told = {}
        for candidate in try_out(strategy(space, "frontier", seed=seed + 1), 40):
            values = metrics(candidate)
            values["latency_p95_ms"] *= slower
            values["throughput_samples_per_s"] /= slower
            told[candidate] = values
        found = []
        for earlier in ({}, told | foreign):
            chooser = FrontierStrategy(space, goals, seed=seed, earlier=earlier)
            found.append(try_out(chooser, 8))
            assert found[-1][0] == space.baseline
        without, having = (
            hypervolume(losses([metrics(c) for c in tried], goals), reference) for tried in found
        )
        gains.append(having / without)
    assert np.mean(gains) > 1.05


def test_before_anything_is_measured_the_first_candidates_are_tried_whatever_is_known() -> None:
    space, goals = SearchSpace.from_values(LARGE), default_objectives("accuracy")
    told = {c: metrics(c) for c in space.informative()}
    plain = FrontierStrategy(space, goals)
    known = FrontierStrategy(space, goals, earlier=told)
    pending = [space.baseline]  # several workers ask before the baseline is measured
    for _ in range(3):
        proposed = known.propose(pending)
        assert proposed is not None and proposed == plain.propose(pending)
        pending.append(proposed)


def test_of_an_earlier_study_a_part_is_learned_and_only_what_has_the_objectives() -> None:
    space, goals = SearchSpace.from_values(LARGE), default_objectives("accuracy")
    told = {c: metrics(c) for c in list(space.candidates())[:200]}
    for candidate in list(told)[:100]:
        told[candidate] = {"accuracy": 0.5}
    learned = FrontierStrategy(space, goals, earlier=told)._earlier
    assert len(learned) == 50 and set(learned) <= set(list(told)[100:])
    whole = losses([told[c] for c in list(told)[100:]], goals)
    on_front = [c for c, is_in in zip(list(told)[100:], non_dominated(whole), strict=True) if is_in]
    assert set(on_front[:50]) <= set(learned) or len(on_front) > 50


def test_nsga2_learns_over_generations() -> None:
    space = SearchSpace.from_values(LARGE)
    chooser = strategy(space, "nsga2")
    try_out(chooser, 150)
    study = chooser._study  # type: ignore[attr-defined]
    generations = {t.system_attrs.get("NSGAIISampler:generation") for t in study.trials}
    assert len(generations - {None}) >= 2, {tuple(t.system_attrs) for t in study.trials}
