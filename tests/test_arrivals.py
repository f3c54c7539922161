"""When requests arrive."""

from pathlib import Path

import numpy as np
import pytest

from paretune.runners.measure.load.arrivals import Arrivals
from paretune.spaces import StudyError


def test_poisson_has_its_rate_and_no_memory() -> None:
    arrivals = Arrivals.poisson(200.0, 100.0, seed=1)
    gaps = np.diff(arrivals.times_s)
    assert arrivals.rate_per_s == pytest.approx(200.0, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as an exponential has it
    assert arrivals.times_s[-1] <= arrivals.seconds


def test_a_burst_has_its_factor() -> None:
    arrivals = Arrivals.bursts(100.0, 4.0, 100.0, seed=2)
    phase = np.mod(arrivals.times_s, 10.0)
    inside = np.sum((phase >= 5.0) & (phase < 6.0)) / 10.0
    outside = np.sum((phase < 5.0) | (phase >= 6.0)) / 90.0
    assert inside / outside == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize("text", ["time,path\n100.0,/a\n101.0,/b\n100.5,/c\n", "100\n100.5\n101\n"])
def test_a_trace_begins_at_zero_whatever_its_clock(text: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    arrivals = Arrivals.recorded(file)
    assert arrivals.times_s.tolist() == [0.0, 0.5, 1.0]
    assert arrivals.rate_per_s == pytest.approx(2.0)
    assert arrivals.at_rate(4.0).times_s.tolist() == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("text", ["", "time\n", "1\n", "3\n3\n", "a\nb\n", "1\nnan\n"])
def test_a_file_that_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(StudyError, match=r"trace\.csv"):
        Arrivals.recorded(file)
