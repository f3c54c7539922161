"""A compressed model that gained nothing is marked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from paretune.runners.measure.statistic import Statistic
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.review.shortfall import shortfalls
from paretune.spaces import Quantization

Make = Callable[..., TrialRecord]


def built(
    record: TrialRecord, size_bytes: float, p50_ms: tuple[float, float, float], **build: Any
) -> TrialRecord:
    """Return a record of another build, run in one way, with a size and a p50 with its interval."""
    assert record.measurement
    statistics = dict(record.measurement.statistics)
    statistics["size_bytes"] = Statistic(size_bytes)
    statistics["latency_p50_ms"] = Statistic(p50_ms[0], p50_ms[1], p50_ms[2])
    candidate = replace(
        record.candidate,
        build=replace(record.candidate.build, **build),
        run=replace(record.candidate.run, intra_op_threads=1),
    )
    outcome = replace(record.measurement, statistics=statistics)
    return replace(record, candidate=candidate, outcome=outcome)


@pytest.mark.parametrize(
    ("size_bytes", "p50_ms", "words"),
    [
        (50.0, (0.5, 0.4, 0.6), []),
        (100.0, (0.5, 0.4, 0.6), ["no smaller"]),
        (50.0, (0.9, 0.8, 1.0), ["not clearly faster"]),
        (120.0, (2.0, 1.9, 2.1), ["no smaller", "slower"]),
    ],
)
@pytest.mark.parametrize(
    ("build", "what"),
    [
        ({"student": "small"}, "distilled"),
        ({"pruning_ratio": 0.5}, "pruned"),
        ({"quantization": Quantization.INT8_STATIC, "fp32_layer_share": 0.25}, "quantized"),
    ],
)
def test_each_compression_is_held_against_what_it_came_from(
    make_record: Make,
    build: dict[str, Any],
    what: str,
    size_bytes: float,
    p50_ms: tuple[float, float, float],
    words: list[str],
) -> None:
    parent = built(make_record(0, {}), 100.0, (1.0, 0.9, 1.1))
    child = built(make_record(1, {}), size_bytes, p50_ms, **build)
    found = shortfalls(child, History(default_objectives("accuracy"), records=[parent, child]))
    expected = [f"{what}, but {' and '.join(words)} than trial 0 in the search"] if words else []
    assert [text.split(" (")[0] for text in found] == expected


def test_without_a_measured_parent_nothing_is_said(make_record: Make) -> None:
    parent = built(make_record(0, {}), 100.0, (1.0, 0.9, 1.1))
    elsewhere = replace(
        parent, candidate=replace(parent.candidate, run=replace(parent.candidate.run, batch_size=8))
    )
    child = built(make_record(1, {}), 200.0, (9.0, 8.0, 10.0), pruning_ratio=0.5)
    failed = make_record(2, None)
    history = History(default_objectives("accuracy"), records=[elsewhere, child, failed])
    assert shortfalls(child, history) == [] == shortfalls(failed, history)


def test_values_measured_again_count_if_both_have_them(make_record: Make) -> None:
    parent = built(make_record(0, {}), 100.0, (1.0, 0.9, 1.1))
    child = built(make_record(1, {}), 50.0, (0.9, 0.8, 1.0), pruning_ratio=0.5)
    history = History(default_objectives("accuracy"), records=[parent, child])
    faster = built(make_record(1, {}), 50.0, (0.5, 0.4, 0.6)).measurement
    assert parent.measurement and faster
    history.confirmed = [Confirmed(1, faster, 1.0, True)]
    assert "in the search" in shortfalls(child, history)[0]
    history.confirmed.append(Confirmed(0, parent.measurement, 1.0, True))
    assert shortfalls(child, history) == []
    slower = built(make_record(1, {}), 50.0, (2.0, 1.9, 2.1)).measurement
    assert slower
    history.confirmed[0] = Confirmed(1, slower, 1.0, True)
    [text] = shortfalls(child, history)
    assert text.startswith("pruned, but slower than trial 0 measured again (")
