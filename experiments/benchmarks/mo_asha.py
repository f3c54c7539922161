"""Multi-objective ASHA (Syne Tune): random candidates, whose trainings stop early.

It needs a package: `pip install -c constraints.txt syne-tune==0.16.0`.
"""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Iterator

import numpy as np
from simulated_executor import SAMPLES
from simulated_study import Night
from study_problem import OBJECTIVES, StudyProblem

from paretune.runners.build.plan import TRAINING_STAGES, plan
from paretune.runners.execute.executor import done
from paretune.runners.execute.job import Build, Measure, Train
from paretune.search.run.budget import Budget
from paretune.spaces import Candidate

_QUARTERS = 4
"""The unit of a training's progress: Paretune's short parts end after one."""

Progress = tuple[int, dict[str, float]]
"""Quarters of a training that are done, and the losses after them."""


def mo_asha(problem: StudyProblem, seed: int, budget: Budget, *, reduction_factor: int) -> Night:
    """Run Syne Tune's MO-ASHA on a problem, with a cache of stages.

    After each part of a candidate's training it is told the accuracy so far and the latency of the
    untrained file, and goes on or stops. What it stops is not measured.

    Args:
        problem: Provides metrics and seconds.
        seed: Of the candidates.
        budget: When the night ends.
        reduction_factor: One in so many candidates goes on at a rung.
    """
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    random.seed(seed)
    np.random.seed(seed)  # what Syne Tune draws from
    night = Night(problem)
    scheduler = MOASHA(
        {axis.name: choice(list(axis.values)) for axis in problem.space.axes},
        metrics=[goal.metric for goal in OBJECTIVES],
        time_attr="quarters",
        max_t=_QUARTERS,
        reduction_factor=reduction_factor,
    )
    end = math.inf if budget.hours is None else budget.hours * 3600
    tried: set[Candidate] = set()
    while night.executor.now < end and night.trials < min(budget.trials, problem.space.size):
        candidate = Candidate.from_params(scheduler.suggest().config)
        if candidate in tried:
            continue
        tried.add(candidate)
        trial = Trial(night.trials, dict(candidate.params), datetime.datetime.now())
        scheduler.on_trial_add(trial)
        for quarters, losses in _progress(night, candidate):
            told = {"quarters": quarters, **losses}
            if scheduler.on_trial_result(trial, told) == SchedulerDecision.STOP:
                night.give_up(candidate)
                break
        else:
            night.try_out(candidate)
    return night


def _progress(night: Night, candidate: Candidate) -> Iterator[Progress]:
    """Train a candidate part by part, but the last one; yield what is known after each."""
    build, run, occasion = candidate.build, candidate.run, f"rungs of {night.trials}"
    if not set(night.work.missing(build)) & set(TRAINING_STAGES):
        return
    skeleton = done(night.executor, Build(build, is_skeleton=True, occasion=occasion), run)
    timing = Measure(skeleton.artifact, run, SAMPLES, with_quality=False, occasion=occasion)
    metrics = done(night.executor, timing, run).metrics
    steps = plan(build, night.work.problem.recipe)
    parts = [(stage, params["epochs"]) for stage, params in steps if stage in TRAINING_STAGES]
    whole, epochs = sum(each for _, each in parts), 0
    for stage, more in parts[:-1]:
        epochs += more
        trained = done(night.executor, Train(build, stage, occasion=occasion), run)
        known = metrics | {"accuracy": trained.stage_quality[stage]}
        losses = {goal.metric: goal.loss(known[goal.metric]) for goal in OBJECTIVES}
        yield max(1, _QUARTERS * epochs // whole), losses
