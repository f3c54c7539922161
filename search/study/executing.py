"""Where the jobs of a study are done: on this machine, or on the hosts of a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import Executor
from paretune.runners.execute.local_executor import LocalExecutor
from paretune.runners.fleet.dask_executor import DaskExecutor
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.measure.evaluator import Evaluator
from paretune.search.configure.study_file import read_study_file
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import StudyError


@contextmanager
def fleet_of(file: Path, scheduler: str | None, device: str | None) -> Iterator[Fleet | None]:
    """Connect to a fleet, if there is a scheduler.

    Args:
        file: The study file, which may name the device.
        scheduler: The scheduler's address.
        device: The device's name, instead of the study file's.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the scheduler does not answer, or no host offers what a study needs.
    """
    if scheduler is None:
        yield None
        return
    named = [device] if device else read_study_file(file).devices
    if len(named) > 1:
        raise StudyError(
            f"a study is measured on one device, and {file} names {', '.join(named)}: choose one "
            "(--device), or let `paretune search` make a study for each"
        )
    with Fleet(scheduler, next(iter(named), None)) as fleet:
        yield fleet


def study_executor(
    study: OpenStudy, pool: BuildPool, evaluator: Evaluator, fleet: Fleet | None
) -> Executor:
    """Return what does a study's jobs: the hosts of a fleet, if there is one, or this machine."""
    if fleet is not None:
        return DaskExecutor(fleet, study.file, evaluator)
    return LocalExecutor(pool, evaluator)
