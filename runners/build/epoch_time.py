"""The time per epoch of training on this machine, by model, measured before any training."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np

from paretune.runners.workload.data import Split
from paretune.runners.workload.learning.teacher import Teacher
from paretune.runners.workload.learning.training import train
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.protocol import Workload
from paretune.spaces import REFERENCE

_TIMED_STEPS = 4
"""Steps timed per student, of which the fastest counts. Chosen by judgement."""

_LONGEST_STEP_S = 2.0
"""Seconds after which no further step of a student is timed. Chosen by judgement."""


def epoch_seconds(loaded: LoadedWorkload) -> dict[str, float]:
    """Return the seconds per epoch of each model, from a few steps of training.

    Models that cannot be trained in this way have no entry.
    """
    workload, data = loaded.workload, loaded.data
    # The user's own loop may take longer to start than to do a step.
    if loaded.model_file is not None or type(workload).train is not Workload.train:
        return {}
    recipe = workload.recipe()
    steps = math.ceil(len(data.train) / recipe.batch_size)
    first = np.arange(min(recipe.batch_size, len(data.train)))
    # One step's share of the validation split, which is judged once per epoch.
    few = data.validation.take(np.arange(math.ceil(len(data.validation) / steps)))
    batch = replace(data, train=data.train.take(first), validation=few)
    augments = type(workload).augment is not Workload.augment
    found: dict[str, float] = {}
    teacher = None
    with suppress(Exception):
        teacher = Teacher(loaded.build_model(REFERENCE))
        if not augments and isinstance(batch.train, Split):  # known after the first epoch
            teacher.see(batch.train)
    for name in loaded.info.models:
        spent: list[float] = []
        with suppress(Exception):
            while len(spent) < _TIMED_STEPS and sum(spent) < _LONGEST_STEP_S:
                model = loaded.build_model(name)
                started = time.perf_counter()
                train(
                    model,
                    batch,
                    workload.loss,
                    lambda found: 0.0 * sum(1 for _ in found),  # the user's may need more samples
                    epochs=1,
                    recipe=recipe,
                    seed=recipe.seed,
                    peak_learning_rate=recipe.learning_rate,
                    teacher=teacher,
                    augment=workload.augment if augments else None,
                )
                spent.append(time.perf_counter() - started)
            found[name] = steps * min(spent)
    return found
