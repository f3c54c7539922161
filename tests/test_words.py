from collections.abc import Callable
from dataclasses import replace

from paretune.runners.measure.measurement import Measurement
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import format_metric, trial_markdown

Make = Callable[..., TrialRecord]


def test_a_metric_that_the_baseline_lacks_is_shown_alone(make_record: Make) -> None:
    # A card counts energy; a baseline on a processor without such a counter does not.
    history = History(default_objectives("accuracy"), (), "accuracy")
    baseline = make_record(0, {})
    assert isinstance(baseline.outcome, Measurement)
    known = {k: v for k, v in baseline.outcome.statistics.items() if k != "energy_mj"}
    history.add(replace(baseline, outcome=replace(baseline.outcome, statistics=known)))
    other = make_record(1, {"energy_mj": 2.5})
    history.add(other)
    lines = trial_markdown(other, history).splitlines()
    assert [line for line in lines if line.startswith("| energy_mj")] == [
        "| energy_mj | 2.5 |  |  |"
    ]
    [latency] = [line for line in lines if line.startswith("| latency_p50_ms")]
    assert latency.count(format_metric("latency_p50_ms", 1.0)) == 2
