"""What a sampler is given to solve, and what only the judge knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import moocore
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """What one trial gives. All objectives are minimized.

    Attributes:
        values: Measured, with noise: one per objective.
        deviations: Standard deviation of each value as the trial itself estimates it from its
            repeats; ``None`` where a trial has no repeats.
        truth: The values without noise: for the judge only.
        seconds: What the trial took when it was recorded; ``None`` where nobody knows.
    """

    values: list[float]
    deviations: list[float] | None
    truth: list[float]
    seconds: float | None = None


class TableProblem(Protocol):
    """A space with at least two objectives.

    Attributes:
        name: As on the command line.
        space: By the parameter's name: whole numbers for what has an order, categories for what
            has none.
        is_ratio: Per objective, whether its logarithm is what samplers learn from (times, sizes).
        front: Losses of the best known frontier, without noise: (points, objectives), logarithms
            where ``is_ratio`` says so.
    """

    name: str
    space: dict[str, BaseDistribution]
    is_ratio: tuple[bool, ...]

    @property
    def front(self) -> Array:
        """The best known frontier."""
        ...

    def observe(self, params: Mapping[str, Any], rng: np.random.Generator) -> Observation:
        """Measure a point."""
        ...


def logarithms(values: Array, is_ratio: tuple[bool, ...]) -> Array:
    """Return values with logarithms in the columns of ratio objectives: the shape is kept."""
    found = np.array(values, dtype=np.float64)
    for column, each in enumerate(is_ratio):
        if each:
            found[..., column] = np.log(found[..., column])
    return found


def non_dominated(points: Array) -> Array:
    """Return the non-dominated points, each once: (points, objectives), lower is better."""
    distinct = np.unique(points, axis=0)
    return np.asarray(distinct[moocore.is_nondominated(distinct)], dtype=np.float64)
