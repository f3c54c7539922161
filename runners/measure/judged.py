"""What the metrics say about a model on a split, as it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Judged:
    """What the metrics say about a model on a split.

    Attributes:
        values: The value of each metric by the name that it is recorded by, the objective first;
            higher is better for all.
        resampled: The objective on bootstrap samples of the split; empty if unknown.
        answers: Digest of the model's decisions; empty if its outputs are not decisions.
    """

    values: Mapping[str, float]
    resampled: tuple[float, ...] = ()
    answers: str = ""
