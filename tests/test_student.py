"""Quantiles of the t distribution are SciPy's."""

import math

import pytest
from scipy.special import stdtrit

from paretune.runners.measure.student import student_quantile


@pytest.mark.parametrize("degrees", [0.3, 1, 2, 3, 4.5, 9, 29, 500, 9_999, 10_000, 1e6, math.inf])
@pytest.mark.parametrize("probability", [0.5, 0.75, 0.9, 0.975, 0.9999])
def test_they_are_scipys(degrees: float, probability: float) -> None:
    expected = float(stdtrit(degrees, probability))
    assert student_quantile(degrees, probability) == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_those_of_few_launches_are_in_every_table() -> None:
    table = {1: 12.7062, 2: 4.30265, 4: 2.77645, 9: 2.26216, 30: 2.04227, math.inf: 1.95996}
    for degrees, quantile in table.items():
        assert student_quantile(degrees, 0.975) == pytest.approx(quantile, abs=1e-4)


@pytest.mark.parametrize(
    "wrong", [(0.0, 0.9), (-1.0, 0.9), (math.nan, 0.9), (2.0, 0.4), (2.0, 1.0)]
)
def test_what_has_no_quantile_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a t quantile needs degrees > 0"):
        student_quantile(*wrong)
