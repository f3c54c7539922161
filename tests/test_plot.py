"""Pictures do not mix confirmed values with the search's own."""

from collections.abc import Callable

from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.review.plot import pareto_figure


def study(make_record: Callable[..., TrialRecord]) -> History:
    """Trials 0 and 1 are confirmed; the search's frontier is trial 2 alone, which is not."""
    history = History(default_objectives("accuracy"))
    for number, latency in enumerate((3.0, 2.0, 1.0)):
        history.add(make_record(number, {"accuracy": 0.9, "latency_p95_ms": latency}))
    for record in history.records[:2]:
        assert record.measurement is not None
        history.confirmed.append(Confirmed(record.number, record.measurement, 1.0, True))
    return history


def test_the_line_of_the_best_runs_through_confirmed_points_only(
    make_record: Callable[..., TrialRecord],
) -> None:
    history = study(make_record)
    figure = pareto_figure(history, "iris")
    lines = [t for t in figure.data if t.mode == "lines" and t.visible]
    assert [tuple(line.x) for line in lines] == [(2.0,)]
    told = {
        text: symbol
        for trace in figure.data
        if trace.mode == "markers" and isinstance(trace.marker.symbol, tuple)
        for text, symbol in zip(trace.text, trace.marker.symbol, strict=True)
    }
    [(text, symbol)] = [(k, v) for k, v in told.items() if "trial 2<" in k]
    assert symbol == "circle-open" and "not confirmed" in text
    history.confirmed.clear()
    figure = pareto_figure(history, "iris")
    assert [tuple(t.x) for t in figure.data if t.mode == "lines" and t.visible] == [(1.0,)]
