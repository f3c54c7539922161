"""A trial of plain Optuna over a search space."""

from __future__ import annotations

import optuna

from paretune.spaces import Candidate, SearchSpace


def suggested(trial: optuna.Trial, space: SearchSpace, *, has_integers: bool = True) -> Candidate:
    """Return the candidate that a trial suggests.

    Args:
        trial: The trial.
        space: The search space.
        has_integers: Whether axes with an order are integers, and not categories.
    """
    values = {
        axis.name: axis.values[trial.suggest_int(axis.name, 0, len(axis.values) - 1)]
        if axis.is_ordered and has_integers
        else trial.suggest_categorical(axis.name, axis.values)
        for axis in space.axes
    }
    return Candidate.from_params(values)
