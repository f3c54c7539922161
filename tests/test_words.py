from collections.abc import Callable
from dataclasses import replace

from paretune.runners.measure.measurement import Measurement
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import disturbance_text, format_metric, trial_markdown

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


def test_disturbed_measurements_are_told(make_record: Make) -> None:
    history = History(default_objectives("accuracy"), (), "accuracy")

    def add(number: int, disturbed: int) -> str:
        record = make_record(number, {})
        assert isinstance(record.outcome, Measurement)
        outcome = replace(record.outcome, contaminated_launches=disturbed)
        history.add(replace(record, outcome=outcome))
        return disturbance_text(history)

    # Three launches each: one trial says little, and three in ten launches are usual.
    assert [add(0, 3), add(1, 1), add(2, 0)] == ["", "", ""]
    assert add(3, 2) == ""
    assert "5 launches of the last 3 trials were disturbed" in add(4, 3)
    told = add(5, 0)
    assert told.startswith("something else uses the cores") and "Trial 0 was disturbed, too" in told
    assert add(6, 0) == ""
