"""The frontier sampler in plain Optuna: its contract, constraints, workers, any number of goals."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import Trial, TrialState

from paretune import FrontierSampler
from paretune.search.propose.parameter_space import ParameterSpace
from paretune.search.record.hypervolume import hypervolume

SPACE: dict[str, BaseDistribution] = {
    "any": FloatDistribution(-1.0, 3.0),
    "any_log": FloatDistribution(1e-3, 10.0, log=True),
    "steps": FloatDistribution(0.0, 0.9, step=0.3),
    "whole": IntDistribution(2, 11, step=3),
    "whole_log": IntDistribution(1, 64, log=True),
    "name": CategoricalDistribution(["a", "b", None]),
}


@pytest.mark.slow
class TestContract(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    """Optuna's own tests of samplers, with the models asked from the first trial on."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return partial(FrontierSampler, seed=0, n_startup_trials=1)


def test_points_and_parameters_are_the_same_thing(rng: np.random.Generator) -> None:
    space = ParameterSpace(SPACE)
    for row in space.draw(50, rng):
        params = space.params(row)
        assert all(SPACE[n]._contains(SPACE[n].to_internal_repr(v)) for n, v in params.items())
        np.testing.assert_allclose(space.row(params), row, atol=1e-9)
    features = space.features(space.draw(50, rng))
    assert features.min() >= 0.0 and features.max() <= 1.0


def test_a_neighbour_differs_in_one_parameter(rng: np.random.Generator) -> None:
    space = ParameterSpace(SPACE)
    row = space.draw(1, rng)
    near = space.near(row, rng)
    assert ((near != row).sum(axis=1) == 1).all()
    assert set(np.flatnonzero((near != row).any(axis=0))) == set(range(len(SPACE)))


def schaffer(trial: Trial) -> tuple[float, float]:
    """A frontier for x in [0, 2] (Schaffer, 1985), where the second parameter is best at 5."""
    x, y = trial.suggest_float("x", -10.0, 10.0), trial.suggest_int("y", 0, 10)
    more = abs(y - 5)
    return x**2 + more, (x - 2) ** 2 + more


def filled(sampler: BaseSampler, trials: int) -> float:
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    study.optimize(schaffer, n_trials=trials)
    return hypervolume(np.array([t.values for t in study.trials]), np.array([5.0, 5.0]))


def under_way(sampler: BaseSampler, trials: int) -> float:
    """Keep four trials under way. In threads, chance would decide who sees whose trial."""
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    running: list[Trial] = []
    for number in range(trials + 3):
        if number < trials:
            running.append(study.ask())
            values = schaffer(running[-1])
            running[-1].set_user_attr("values", values)
        if number >= 3:
            trial = running.pop(0)
            study.tell(trial, trial.user_attrs["values"])
    return hypervolume(np.array([t.values for t in study.trials]), np.array([5.0, 5.0]))


def test_it_finds_more_than_random_search() -> None:
    ours = [filled(FrontierSampler(seed=seed), 24) for seed in range(2)]
    theirs = [filled(optuna.samplers.RandomSampler(seed=seed), 24) for seed in range(2)]
    assert min(ours) > max(theirs)


@pytest.mark.slow
def test_workers_do_not_propose_the_same() -> None:
    ours = sum(under_way(FrontierSampler(seed=seed), 32) for seed in range(3))
    theirs = sum(under_way(optuna.samplers.RandomSampler(seed=seed), 32) for seed in range(3))
    assert ours > 1.5 * theirs
    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=FrontierSampler(seed=0, n_startup_trials=4)
    )
    space: dict[str, BaseDistribution] = {"x": IntDistribution(0, 20)}
    for x in (0, 5, 10, 20):
        study.add_trial(
            optuna.create_trial(values=[x, (x - 8) ** 2], params={"x": x}, distributions=space)
        )
    running = [study.ask(space).params["x"] for _ in range(6)]
    assert len({*running, 0, 5, 10, 20}) == 10


def test_constraints_are_kept() -> None:
    def objective(trial: Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_float("y", 0.0, 1.0)
        trial.set_constraint("far enough", 1.0 - x - y)
        return x, y

    study = optuna.create_study(directions=["minimize"] * 2, sampler=FrontierSampler(seed=1))
    study.optimize(objective, n_trials=35)
    proposed = study.trials[10:]
    kept = [t for t in proposed if t.constraints["far enough"] <= 0]
    assert len(kept) > len(proposed) / 3
    # The best that can be kept is x + y = 1.
    assert min(sum(t.values) for t in kept) < 1.05


@pytest.mark.parametrize("objectives", [1, 3, 4, 5])
def test_any_number_of_objectives(objectives: int) -> None:
    def objective(trial: Trial) -> list[float]:
        point = np.array([trial.suggest_int(f"x{i}", 0, 6) for i in range(3)]) / 6
        ends = np.random.default_rng(0).random((objectives, 3))
        return [float(((point - end) ** 2).sum()) for end in ends]

    study = optuna.create_study(
        directions=["minimize"] * objectives, sampler=FrontierSampler(seed=0)
    )
    study.optimize(objective, n_trials=14)
    assert len({tuple(t.params.values()) for t in study.trials[10:]}) == 4
    assert all(t.state == TrialState.COMPLETE for t in study.trials)


def test_no_point_is_tried_twice_until_all_were_and_failures_count() -> None:
    def objective(trial: Trial) -> tuple[float, float]:
        x, name = trial.suggest_int("x", 0, 3), trial.suggest_categorical("name", ["a", "b", "c"])
        if name == "c":
            raise ValueError("cannot be built")
        return x, -x if name == "a" else 3.0 - x

    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=FrontierSampler(seed=3, n_startup_trials=1)
    )
    study.optimize(objective, n_trials=12, catch=ValueError)
    at_random = sum(t.state == TrialState.FAIL for t in study.trials[:2]) + 2
    later = [tuple(t.params.values()) for t in study.trials[at_random:]]
    assert len(set(later)) == len(later)
    study.optimize(objective, n_trials=4, catch=ValueError)  # all were tried: it goes on
    assert len(study.trials) == 16


def test_a_lucky_measurement_is_not_the_frontier() -> None:
    """A noisy value that is told to be noisy counts less than its neighbours."""
    space: dict[str, BaseDistribution] = {"x": IntDistribution(0, 30)}

    def proposed(deviation: float) -> int:
        sampler = FrontierSampler(seed=0, n_startup_trials=3, deviations="std")
        study = optuna.create_study(direction="minimize", sampler=sampler)
        for x in range(0, 31, 3):
            value = 1.0 + (x - 15) ** 2 / 100 - (3.0 if x == 27 else 0.0)
            study.add_trial(
                optuna.create_trial(
                    value=value,
                    params={"x": x},
                    distributions=space,
                    user_attrs={"std": [deviation if x == 27 else 0.0]},
                )
            )
        found: int = study.ask(space).params["x"]
        return found

    assert abs(proposed(0.0) - 27) < abs(proposed(10.0) - 27)


def test_cost_counts() -> None:
    space: dict[str, BaseDistribution] = {
        "x": IntDistribution(0, 10),
        "where": CategoricalDistribution(["near", "far"]),
    }

    def proposed(cost: Callable[[dict[str, object]], float] | None) -> object:
        sampler = FrontierSampler(seed=0, n_startup_trials=3, cost=cost)
        study = optuna.create_study(direction="minimize", sampler=sampler)
        for x in (0, 4, 10):
            for where in ("near", "far"):
                params = {"x": x, "where": where}
                value = float(x) - (0.2 if where == "far" else 0.0) if x else 12.0
                study.add_trial(
                    optuna.create_trial(value=value, params=params, distributions=space)
                )
        return study.ask(space).params["where"]

    assert proposed(lambda params: 1.0 if params["where"] == "near" else 100.0) == "near"
    assert proposed(lambda params: 1.0 if params["where"] == "far" else 100.0) == "far"


def test_times_are_told_by_their_ratios() -> None:
    study = optuna.create_study(
        directions=["minimize", "maximize"],
        sampler=FrontierSampler(seed=0, ratio_scale=[True, False]),
    )
    study.optimize(lambda t: (10.0 ** t.suggest_float("x", -3, 3), t.params["x"]), n_trials=12)
    assert len(study.trials) == 12
    with pytest.raises(ValueError, match="above 0"):
        study.optimize(lambda t: (-1.0, t.suggest_float("x", -3, 3)), n_trials=2)


def test_it_can_be_stored_and_goes_on() -> None:
    sampler = FrontierSampler(seed=0)
    filled(sampler, 14)
    restored = pickle.loads(pickle.dumps(sampler))
    assert filled(restored, 14) > 0
    with pytest.raises(ValueError, match="at least 1"):
        FrontierSampler(n_startup_trials=0)


@pytest.mark.slow
def test_a_script_of_plain_optuna_searches_with_four_workers() -> None:
    script = Path(__file__).parents[1] / "experiments" / "plain_optuna" / "search.py"
    done = subprocess.run(
        [sys.executable, script, "--trials", "24", "--workers", "4"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"24 trials in \d+ s, \d+ within", done.stdout)
    found = re.search(r"hypervolume (\S+)", done.stdout)
    assert found and float(found[1]) > 0.3


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
