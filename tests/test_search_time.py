"""How long a search takes, where trials of several workers overlap."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from paretune.search.deliver.report.html_report import write_report
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.search_time import seconds_per_trial
from paretune.search.record.trial import TrialRecord


def test_time_left_follows_from_how_often_trials_end() -> None:
    # Eight workers, trials of 80 s each: one ends every 10 s.
    assert seconds_per_trial([0.0, *range(80, 800, 10)]) == 10.0
    assert seconds_per_trial([5.0, 65.0]) == 60.0


def test_a_report_counts_no_second_twice(
    make_record: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    spans = [(0.0, 3600.0), (1800.0, 3600.0), (1800.0, 5400.0), (9000.0, 10800.0)]
    records = [
        replace(make_record(number, {}), started_at=begin, finished_at=end)
        for number, (begin, end) in enumerate(spans)
    ]
    history = History(default_objectives("accuracy"), records=records)
    write_report(history, "name", tmp_path / "report.html")
    # 1.5 h of three trials that overlap, an evening without any, and half an hour of the last.
    assert "2.00 h of search." in (tmp_path / "report.html").read_text("utf-8")
