"""The hypervolume that points would add, against the difference of two exact hypervolumes."""

import numpy as np
import pytest

from paretune.search.propose.improvement import expected_improvement, improvement_over
from paretune.search.record.hypervolume import hypervolume


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("front_size", [0, 1, 12])
def test_improvement_is_the_difference_of_hypervolumes(
    rng: np.random.Generator, objectives: int, front_size: int
) -> None:
    front = rng.uniform(0, 1.2, (front_size, objectives)).round(1)
    points = rng.uniform(-0.2, 1.2, (40, objectives)).round(1)
    reference = np.ones(objectives)
    before = hypervolume(front, reference)
    wanted = [hypervolume(np.vstack([front, point]), reference) - before for point in points]
    found = improvement_over(front, reference).of(points)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert max(wanted) > 0


def test_what_is_less_sure_is_expected_to_add_more(rng: np.random.Generator) -> None:
    improvement = improvement_over(np.array([[0.5, 0.5]]), np.ones(2))
    means, draws = np.full((2, 2), 0.55), rng.standard_normal((256, 2))
    sure, unsure = expected_improvement(
        improvement, means, np.array([[1e-6] * 2, [0.2] * 2]), draws
    )
    assert sure == pytest.approx(0.0) and unsure > 0.01
