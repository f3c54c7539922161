"""Which axes decide an objective."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from paretune.search.record.history import History
from paretune.search.record.objective import losses

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_FEWEST_TRIALS = 8
"""Measured trials below which no axis can be told to matter. Chosen by judgement."""


def importances(history: History) -> dict[str, dict[str, float]]:
    """Return, for each objective, how much each axis decides whether a trial is among the best.

    By PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023, https://arxiv.org/abs/2304.10255), in
    Optuna's implementation: each axis's share of the difference between the better trials and all
    trials. The shares of an objective sum to 1; axes with a single value are left out.

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
    found = {}
    for column, objective in enumerate(history.objectives):
        study = optuna.create_study()
        for params, loss in zip(tried, points[:, column], strict=True):
            chosen = {axis: params[axis] for axis in varied}
            study.add_trial(
                optuna.trial.create_trial(params=chosen, distributions=varied, value=float(loss))
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[objective.metric] = optuna.importance.get_param_importances(study)
    return found


def importance_figure(history: History, name: str) -> Figure | None:
    """Return bars of :func:`importances`, or ``None`` if there are too few trials."""
    from plotly.graph_objects import Bar, Figure

    found = importances(history)
    if not found:
        return None
    figure = Figure(
        [
            Bar(name=goal, y=list(by_axis), x=list(by_axis.values()), orientation="h")
            for goal, by_axis in found.items()
        ]
    )
    figure.update_layout(
        title={"text": f"<b>{name}</b>: which axes decide whether a trial is among the best"},
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13},
        xaxis={"title": {"text": "share (PED-ANOVA)"}},
        yaxis={"autorange": "reversed"},
        barmode="group",
    )
    return figure
