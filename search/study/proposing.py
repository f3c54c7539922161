"""What proposes the candidates of a study."""

from __future__ import annotations

import logging

from paretune.search.configure.schema import StudyConfig
from paretune.search.propose.frontier_strategy import FrontierStrategy
from paretune.search.propose.strategy import ExhaustiveStrategy, OptunaStrategy, Strategy, WarmStart
from paretune.search.propose.time_limit import Affordable
from paretune.search.record.history import History
from paretune.spaces import SearchSpace

_LOG = logging.getLogger("paretune")


def study_strategy(
    config: StudyConfig,
    space: SearchSpace,
    history: History,
    affordable: Affordable,
    earlier: History | None,
) -> Strategy:
    """Return the strategy that a study file names, with what it takes from an earlier study.

    Paretune's own learns from all that was measured then; the others begin with its frontier.

    Args:
        config: What the study file says.
        space: The search space.
        history: The study so far: its objectives, constraints and wish.
        affordable: Knows the expected seconds of candidates, and the time left.
        earlier: The study to take from, if there is one.
    """
    measured = {r.candidate: r.metrics for r in earlier.measured} if earlier else {}
    if measured and all(space.reason_against(candidate) for candidate in measured):
        _LOG.warning(
            "nothing that the study of `warm_start` measured is in this study's space, so nothing "
            "is taken from it: their axes or values differ"
        )
    sampler, seed = config.strategy.sampler, config.strategy.seed
    objectives, constraints = history.objectives, history.constraints
    if sampler == "frontier" or sampler == "auto":
        return FrontierStrategy(
            space,
            objectives,
            constraints,
            history.quality_metric,
            seed,
            affordable.cost.seconds,
            affordable.seconds_per_trial,
            affordable.cost.epoch_seconds,
            history.wish,
            measured,
        )
    strategy: Strategy
    if sampler == "exhaustive":
        strategy = ExhaustiveStrategy(space)
    else:
        strategy = OptunaStrategy(
            space, objectives, constraints, sampler, seed, history.quality_metric, history.wish
        )
    if earlier is None:
        return strategy
    return WarmStart(strategy, space, [record.candidate for record in earlier.frontier])
