"""Which axes decide an objective."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from paretune.runners.measure.statistic import CONFIDENCE, Statistic
from paretune.search.record.history import History
from paretune.search.record.objective import losses

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from plotly.graph_objects import Figure

_FEWEST_TRIALS = 8
"""Measured trials below which no axis can be told to matter. Chosen by judgement."""


_GROUPS = 10
"""Groups of trials of which one at a time is left out, to see how far a share depends on them.
Chosen by judgement: each costs one more computation of all shares.
"""


def importances(history: History) -> dict[str, dict[str, Statistic]]:
    """Return, for each objective, how much each axis decides whether a trial is among the best.

    By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023, https://arxiv.org/abs/2304.10255), in
    Optuna's implementation: each axis's share of the difference between the better trials and all
    trials. The shares of an objective sum to 1; axes with a single value are left out.

    A share is learned from the trials of one search. Its 95 % interval is that of a delete-a-group
    jackknife over them (Kott, "The delete-a-group jackknife", Journal of Official Statistics,
    2001), cut to [0, 1].

    Returns:
        Shares by axis, by objective; empty with fewer than eight measured trials.
    """
    if len(history.measured) < _FEWEST_TRIALS:
        return {}
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tried = [record.candidate.params for record in history.measured]
    varied: dict[str, BaseDistribution] = {
        axis: CategoricalDistribution(values)
        for axis in tried[0]
        if len(values := list(dict.fromkeys(params[axis] for params in tried))) > 1
    }
    if not varied:
        return {}
    points = losses([record.metrics for record in history.measured], history.objectives)
    # At random, because what a search tries at one time is alike.
    groups = np.random.default_rng(0).permutation(len(tried)) % min(_GROUPS, len(tried))
    found = {}
    for column, objective in enumerate(history.objectives):
        trials = [
            optuna.trial.create_trial(
                params={axis: params[axis] for axis in varied},
                distributions=varied,
                value=float(loss),
            )
            for params, loss in zip(tried, points[:, column], strict=True)
        ]
        others = [
            _shares([each for each, own in zip(trials, groups, strict=True) if own != group])
            for group in range(groups.max() + 1)
        ]
        found[objective.metric] = {
            axis: _with_interval(share, [other.get(axis, 0.0) for other in others])
            for axis, share in _shares(trials).items()
        }
    return found


def _shares(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Return the share of each axis in the values of some trials."""
    import optuna

    study = optuna.create_study()
    study.add_trials(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(optuna.importance.get_param_importances(study))


def _with_interval(share: float, others: Sequence[float]) -> Statistic:
    """Return a share with its interval, from the shares without one group each."""
    from scipy.special import stdtrit

    count = len(others)
    error = float(np.sqrt((count - 1) / count * np.sum((np.array(others) - share) ** 2)))
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    return Statistic(share, max(share - half, 0.0), min(share + half, 1.0))


def importance_figure(history: History, name: str) -> Figure | None:
    """Return bars of :func:`importances`, or ``None`` if there are too few trials."""
    from plotly.graph_objects import Bar, Figure

    found = importances(history)
    if not found:
        return None
    figure = Figure(
        [
            Bar(
                name=goal,
                y=list(by_axis),
                x=[share.value for share in by_axis.values()],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [share.ends[1] - share.value for share in by_axis.values()],
                    "arrayminus": [share.value - share.ends[0] for share in by_axis.values()],
                    "thickness": 1,
                },
                orientation="h",
            )
            for goal, by_axis in found.items()
        ]
    )
    figure.update_layout(
        title={"text": f"<b>{name}</b>: which axes decide whether a trial is among the best"},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis={"title": {"text": "share (PED-ANOVA), with 95 % intervals"}},
        yaxis={"autorange": "reversed"},
        barmode="group",
    )
    return figure
