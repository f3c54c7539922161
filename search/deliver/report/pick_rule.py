"""The inputs of the rule of ``paretune pick``, so that the report's page makes the same choice.

``page/choice.js`` has the rule itself. What needs statistics (standard errors, the reference's
speed) is computed here, by the functions that the command calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from paretune.runners.metric import SIZE, THROUGHPUT, Percentile, metric_of
from paretune.search.deliver.choice import (
    baseline,
    compared_latency,
    fresh_records,
    points,
    worst_end,
)
from paretune.search.deliver.paired import quality_draws
from paretune.search.deliver.ranking import PREFERRED, paired_errors, standard_errors
from paretune.search.deliver.reference_speed import ReferenceSpeed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish


def pick_rule(history: History) -> dict[str, Any]:
    """Return what ``page/choice.js`` needs to pick among a study's points, ready for JSON.

    Only percentiles and preferences that every point has a value for are included.
    """
    pool, base, quality = points(history), baseline(history), history.quality_metric
    wishes = [Wish(percentile=name) for name in get_args(Percentile)]
    wishes = [wish for wish in wishes if _have(pool, wish.latency_metric)]
    compared = {wish.percentile: compared_latency(history, wish) for wish in wishes}
    percentiles = {
        wish.percentile: {
            "metric": wish.latency_metric,
            "compared": compared[wish.percentile],
            "slower": _slower(pool, history, wish.latency_metric),
        }
        for wish in wishes
    }
    latencies = {*(wish.latency_metric for wish in wishes), *compared.values()}
    preferred = {name: metric for name, metric in PREFERRED.items() if _have(pool, metric)}
    metrics = sorted({quality, THROUGHPUT, SIZE, *latencies, *preferred.values()})
    errors = {
        name: standard_errors(pool, name, is_fresh=bool(history.confirmed)).tolist()
        for name in metrics
    }
    return {
        "quality": quality,
        "baseline_quality": None if base is None else base.metrics[quality],
        "throughput": THROUGHPUT,
        "size": SIZE,
        "percentiles": percentiles,
        "preferred": preferred,
        "higher_is_better": {name: metric_of(name).higher_is_better for name in metrics},
        "points": [
            {
                "number": record.number,
                "batch_size": record.candidate.run.batch_size,
                "runner": record.candidate.run.runner,
                "values": {name: record.metrics[name] for name in metrics},
                "worst": {
                    name: worst_end(record, Constraint(name, maximum=0.0)) for name in latencies
                },
                "errors": {name: values[place] for name, values in errors.items()},
                "draws": len(quality_draws(history, record.number)),
            }
            for place, record in enumerate(pool)
        ],
        "pair_errors": _pair_errors(pool, history),
    }


def _have(pool: Sequence[TrialRecord], metric: str) -> bool:
    return all(metric in record.metrics for record in pool)


def _slower(pool: Sequence[TrialRecord], history: History, metric: str) -> list[int]:
    """Return the numbers of compressed points that are slower than the reference."""
    reference = ReferenceSpeed(fresh_records(history), history, metric)
    return [record.number for record in pool if reference.beats(record)]


def _pair_errors(pool: Sequence[TrialRecord], history: History) -> list[list[float | None]]:
    """Return the standard error of the difference of two points' qualities, by their places.

    Empty if no point has paired draws; ``None`` where two have not the same number of them.
    """
    draws = [quality_draws(history, record.number) for record in pool]
    if not any(len(each) for each in draws):
        return []
    found: list[list[float | None]] = []
    for best in draws:
        row: list[float | None] = [None] * len(draws)
        alike = [place for place, each in enumerate(draws) if len(each) == len(best) > 0]
        errors = paired_errors(np.array([draws[place] for place in alike]), best) if alike else ()
        for place, error in zip(alike, errors, strict=True):
            row[place] = float(error)
        found.append(row)
    return found
