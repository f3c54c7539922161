"""A space of Optuna's distributions as points: encoding, drawing, neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = NDArray[np.float64]

ENUMERATED = 20_000
"""Largest number of points that are all listed. Chosen by judgement."""

_STEPS = (0.02, 0.1, 0.3)
"""Standard deviations of a step in one parameter, as shares of its range. Chosen by judgement."""


@dataclass(frozen=True)
class ParameterSpace:
    """Parameters with their distributions.

    A row is one point: for each parameter its position, which is the index of a category, the
    number of a step, or else a place in [0, 1] (by the logarithm where the distribution says so).

    Attributes:
        distributions: By the parameter's name.
    """

    distributions: Mapping[str, BaseDistribution]

    @cached_property
    def counts(self) -> list[int]:
        """The number of values of each parameter; 0 for a parameter of any value in a range."""
        return [_count(each) for each in self.distributions.values()]

    @property
    def is_listed(self) -> bool:
        """Whether all points are few enough to be listed."""
        return 0 < math.prod(self.counts) <= ENUMERATED

    def row(self, params: Mapping[str, Any]) -> list[float]:
        """Return a point's row from its parameters."""
        return [
            _position(each, params[name], count)
            for (name, each), count in zip(self.distributions.items(), self.counts, strict=True)
        ]

    def params(self, row: Array) -> dict[str, Any]:
        """Undo :meth:`row`, with values of the types that Optuna expects."""
        return {
            name: _value(each, float(place), count)
            for (name, each), count, place in zip(
                self.distributions.items(), self.counts, row, strict=True
            )
        }

    @cached_property
    def everything(self) -> Array:
        """All points of a space that is listed: shape (points, parameters)."""
        return np.array(list(product(*map(range, self.counts))), dtype=np.float64)

    @cached_property
    def parameter_of_feature(self) -> NDArray[np.int64]:
        """The place of the parameter that each of the :meth:`features` belongs to: (features,)."""
        widths = [
            count if isinstance(each, CategoricalDistribution) else 1
            for each, count in zip(self.distributions.values(), self.counts, strict=True)
        ]
        return np.repeat(np.arange(len(widths)), widths)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Return random points: shape (count, parameters)."""
        columns = [
            rng.integers(0, each, count).astype(np.float64) if each else rng.random(count)
            for each in self.counts
        ]
        return np.column_stack(columns)

    def near(self, rows: Array, rng: np.random.Generator) -> Array:
        """Return points that differ from one of the rows in one parameter.

        A category becomes each other one, a step one of the two beside it, and a value in a range
        moves by steps of several sizes.
        """
        found = [moved for row in rows for moved in self._moves(row, rng)]
        return np.array(found).reshape(-1, len(self.counts))

    def features(self, rows: Array) -> Array:
        """Return rows as points for a Gaussian process, each feature within [0, 1].

        Each category is a feature of its own.
        """
        columns: list[Array] = []
        for column, (each, count) in enumerate(
            zip(self.distributions.values(), self.counts, strict=True)
        ):
            places = rows[:, column]
            if isinstance(each, CategoricalDistribution):
                columns += [(places == index).astype(np.float64) for index in range(count)]
            elif not count:
                columns.append(places)
            else:
                columns.append(_scaled(each, places, count))
        return np.column_stack(columns)

    def _moves(self, row: Array, rng: np.random.Generator) -> Iterator[Array]:
        for column, (each, count) in enumerate(
            zip(self.distributions.values(), self.counts, strict=True)
        ):
            place = row[column]
            if not count:
                steps = rng.normal(0.0, _STEPS)
                places = [float(np.clip(place + step, 0.0, 1.0)) for step in steps]
            elif isinstance(each, CategoricalDistribution):
                places = [float(other) for other in range(count)]
            else:
                places = [p for p in (place - 1, place + 1) if 0 <= p < count]
            for other in places:
                if other != place:
                    moved = row.copy()
                    moved[column] = other
                    yield moved


def _count(each: BaseDistribution) -> int:
    if isinstance(each, CategoricalDistribution):
        return len(each.choices)
    if isinstance(each, IntDistribution):
        return (each.high - each.low) // each.step + 1
    if isinstance(each, FloatDistribution) and each.step is not None:
        return round((each.high - each.low) / each.step) + 1
    return 0


def _position(each: BaseDistribution, value: Any, count: int) -> float:
    if isinstance(each, CategoricalDistribution):
        return float(each.to_internal_repr(value))
    assert isinstance(each, IntDistribution | FloatDistribution)
    if count:
        return float(round((value - each.low) / (each.step or 1)))
    low, high, at = (math.log(v) if each.log else v for v in (each.low, each.high, value))
    return float((at - low) / (high - low)) if high > low else 0.0


def _value(each: BaseDistribution, place: float, count: int) -> Any:
    if isinstance(each, CategoricalDistribution):
        return each.choices[int(place)]
    assert isinstance(each, IntDistribution | FloatDistribution)
    if isinstance(each, IntDistribution):
        return int(each.low + round(place) * each.step)
    if count:
        assert each.step is not None
        return float(min(each.low + round(place) * each.step, each.high))
    low, high = (math.log(v) if each.log else v for v in (each.low, each.high))
    at = low + place * (high - low)
    return float(np.clip(math.exp(at) if each.log else at, each.low, each.high))


def _scaled(each: BaseDistribution, places: Array, count: int) -> Array:
    """Return the numbers of steps within [0, 1], by the logarithm of the value if it says so."""
    if getattr(each, "log", False):
        assert isinstance(each, IntDistribution)
        values, ends = np.log(each.low + places * each.step), np.log([each.low, each.high])
        return np.asarray((values - ends[0]) / max(ends[1] - ends[0], 1e-12), dtype=np.float64)
    return np.asarray(places / max(count - 1, 1), dtype=np.float64)
