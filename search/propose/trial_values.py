"""The values of Optuna's trials, as surrogates learn them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrialValues:
    """How the values of trials are read.

    Attributes:
        ratio_scale: For each objective, whether its logarithm is learned; by default of none.
        deviations: Name of the user attribute with the standard deviation of each value.
    """

    ratio_scale: Sequence[bool]
    deviations: str | None

    def losses(self, directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial]) -> Array:
        """Return the values, lower is better: shape (trials, objectives).

        Raises:
            ValueError: If a value has no logarithm.
        """
        values = np.array([trial.values for trial in trials], dtype=np.float64)
        for at, is_ratio in enumerate(self.ratio_scale):
            if is_ratio:
                if (values[:, at] <= 0).any():
                    raise ValueError(
                        f"objective {at} is on a ratio scale, so its values must be above 0; got "
                        f"{values[:, at].min():g}: leave it out of ratio_scale"
                    )
                values[:, at] = np.log(values[:, at])
        signs = [-1.0 if each == StudyDirection.MAXIMIZE else 1.0 for each in directions]
        return np.asarray(values * signs, dtype=np.float64)

    def variances(self, trials: Sequence[FrozenTrial]) -> Array:
        """Return the variance of each value, as far as told: shape (trials, objectives)."""
        found = np.zeros((len(trials), len(trials[0].values)))
        for at, trial in enumerate(trials):
            told = trial.user_attrs.get(self.deviations) if self.deviations else None
            if told is not None:
                deviation = np.asarray(told, dtype=np.float64)
                for place, is_ratio in enumerate(self.ratio_scale):
                    if is_ratio:
                        deviation[place] /= trial.values[place]
                found[at] = deviation**2
        return found


def is_finite(trial: FrozenTrial) -> bool:
    """Return whether a trial has values, and all of them are finite."""
    return trial.values is not None and all(map(math.isfinite, trial.values))
