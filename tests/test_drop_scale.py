import numpy as np
import pytest

from paretune.search.propose.surrogates.drop_scale import DropScale
from paretune.search.propose.surrogates.forecast import Forecast
from paretune.search.record.objective import Objective
from paretune.spaces import Candidate, SearchSpace

ACCURACY = Objective("accuracy", "maximize")
SPACE = SearchSpace.from_values(
    {
        "student": ["reference", "large", "small"],
        "pruning_ratio": [0.0, 0.25, 0.5, 0.75],
        "quantization": ["fp32"],
        "batch_size": [1],
        "execution_provider": ["CPUExecutionProvider"],
        "intra_op_threads": [1],
    }
)


def candidate(student: str, ratio: float) -> Candidate:
    changed = {"student": student, "pruning_ratio": ratio}
    return Candidate.from_params({**SPACE.baseline.params, **changed})


@pytest.mark.parametrize("first", [-0.99, 0.0, 3.0])
def test_a_loss_comes_back_from_the_scale(first: float) -> None:
    losses = first + np.array([0.0, -0.02, 0.005, 0.4])
    scale = DropScale.of(losses)
    means, deviations = scale.losses(scale.scaled(losses), np.zeros(4))
    assert means == pytest.approx(losses)
    assert deviations == pytest.approx(0.0)


def test_equal_losses_of_zero_have_a_scale() -> None:
    scale = DropScale.of(np.zeros(3))
    assert scale.scaled(np.zeros(3)) == pytest.approx(0.0)


def test_a_drop_ten_times_as_large_is_one_step_further() -> None:
    scale = DropScale.of(np.array([-1.0]))
    steps = np.diff(scale.scaled(-1.0 + np.array([0.1, 1.0, 10.0])))
    assert steps == pytest.approx(np.log(10), rel=0.01)


def test_a_doubt_counts_more_where_the_drop_is_large() -> None:
    scale = DropScale.of(np.array([-1.0]))
    _, deviations = scale.losses(scale.scaled(np.array([-1.0, -0.8])), np.full(2, 0.1))
    assert deviations[0] == pytest.approx(0.001, rel=0.01)
    assert deviations[1] == pytest.approx(0.2 * (1 - np.exp(-0.1)), rel=0.01)


def test_one_collapse_of_a_small_student_does_not_condemn_large_ones() -> None:
    known = {
        SPACE.baseline: 0.994,
        candidate("small", 0.0): 0.947,
        candidate("small", 0.25): 0.945,
        candidate("small", 0.75): 0.727,
        candidate("large", 0.0): 0.991,
    }
    data = {each: {"accuracy": value} for each, value in known.items()}
    forecast = Forecast(SPACE, sizes={"reference": 4.0, "large": 3.0, "small": 1.0})
    means, _ = forecast.losses(ACCURACY, data, forecast.points([candidate("large", 0.75)]))
    assert 0.9 < -means[0] < 0.991
