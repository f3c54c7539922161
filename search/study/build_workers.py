"""The build workers of a study: how many there are, and what limits them."""

from __future__ import annotations

from paretune.runners.cores import available_cores
from paretune.runners.environment import memory_bytes
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.search.configure.schema import StudyConfig
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import SCHEMES


def worker_settings(study: OpenStudy) -> WorkerSettings:
    """Return the settings and limits of a study's build workers."""
    config, paths = study.config, study.paths
    gigabytes = config.budget.build_memory_gb
    return WorkerSettings(
        workload=config.workload,
        folder=paths.folder,
        store=paths.store,
        store_url=paths.store_url,
        log=paths.build_log,
        timeout_s=config.budget.build_timeout_s,
        # Nine tenths of the machine's memory, unless the study says otherwise.
        memory_limit_bytes=int(gigabytes * 1e9 if gigabytes else 0.9 * memory_bytes()),
        plugins=tuple(config.plugins),
    )


def default_workers(config: StudyConfig, cards: int) -> int:
    """Return the number of parallel builds: one per card, or for every two cores, at most eight.

    Two trainings on one card would share its memory and take as long as one after the other. Where
    a study trains nothing but its reference, cards are not what builds wait for.

    Args:
        config: The study file's content.
        cards: The number of cards to train on.
    """
    space = config.space
    schemes = [SCHEMES.get(name) for name in space.quantization]
    trains = (
        len(space.student) > 1
        or any(ratio > 0 for ratio in space.pruning_ratio)
        or any(scheme.needs_training for scheme in schemes)
    )
    return min(8, cards) if cards and trains else max(1, min(8, available_cores() // 2))
