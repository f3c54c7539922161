"""A host of a fleet, as a process: `paretune worker`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import BUILD
from paretune.runners.execute.local_executor import LocalExecutor, what_builds_depend_on
from paretune.runners.execute.training_cards import training_cards
from paretune.runners.fleet.fleet_host import Assignment, FleetHost, as_plugin, slot_of
from paretune.runners.fleet.installed import check_installed
from paretune.runners.fleet.keys import security
from paretune.runners.measure.evaluator import Evaluator
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_evaluator
from paretune.spaces import StudyError, WorkloadError

_QUIET = {
    # Dask looks at its threads every 10 ms and at its machine every 500: not on cores that time.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    # A model in memory is no reason to restart the host.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


class Studies:
    """The studies that a host works for, opened when their first job comes.

    Args:
        name: The host's name, which is part of its logs' names.
        builds: How many builds run at once.
    """

    def __init__(self, name: str, builds: int) -> None:
        self._name = name
        self._builds = builds
        self._open: dict[Path, tuple[BuildPool, Evaluator]] = {}
        self._owning = ExitStack()

    def executor(self, assignment: Assignment) -> LocalExecutor:
        """Return an executor that does a study's jobs.

        Raises:
            WorkloadError: If the workload here is not that of the search, or another release of
                Paretune would build it.
        """
        file = assignment.study
        if file not in self._open:
            study = OpenStudy(file)
            worker = worker_settings(study)
            log = worker.log.with_stem(f"{worker.log.stem}-{self._name}")
            pool = BuildPool(replace(worker, log=log), max(1, self._builds), training_cards())
            self._owning.enter_context(pool)
            self._open[file] = pool, study_evaluator(study, pool.service, pool.describe())
        pool, evaluator = self._open[file]
        if what_builds_depend_on(evaluator.fingerprint) != assignment.building:
            raise WorkloadError(
                f"the host {self._name} would build something else: the workload of {file} has "
                "changed, or differs there in its code, its data or its packages, or Paretune has "
                "another version. Make them equal, and start the host again"
            )
        return LocalExecutor(pool, evaluator.on(assignment.samples, assignment.settings))

    def close(self) -> None:
        """End the build workers."""
        self._owning.close()


def work(
    scheduler: str,
    name: str,
    builds: int,
    device: str | None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Offer this machine to a fleet until the scheduler ends or the process is stopped.

    Args:
        scheduler: The scheduler's address.
        name: The host's name.
        builds: How many builds run at once; 0 for a host that only measures.
        device: The name under which measurements find this machine; ``None`` for none.
        ready: Is told the host's address once the scheduler knows it.

    Raises:
        StudyError: If Dask is not installed, or the scheduler does not answer.
    """
    check_installed()
    import dask
    import distributed
    from distributed.comm.addressing import parse_host_port
    from distributed.utils import get_ip

    dask.config.set(_QUIET)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    slots = ({BUILD: builds} if builds else {}) | ({slot_of(device): 1} if device else {})
    studies = Studies(name, builds)

    async def serve() -> None:
        worker = distributed.Worker(
            scheduler,
            name=name,
            # One more than there are slots: questions about the device wait for no job.
            nthreads=sum(slots.values()) + 1,
            resources={slot: float(count) for slot, count in slots.items()},
            plugins=(as_plugin(FleetHost(studies.executor, device)),),
            dashboard=False,
            dashboard_address="127.0.0.1:0",
            security=security(scheduler),
            # The one address by which the scheduler is reached, not all that the machine has.
            host=get_ip(*parse_host_port(scheduler.rpartition("/")[2])),
            death_timeout=30,
        )
        async with worker:
            ready(worker.address)
            await worker.finished()

    try:
        asyncio.run(serve())
    except (OSError, TimeoutError) as error:
        raise StudyError(
            f"no scheduler answers at {scheduler} ({error}): start one with `paretune fleet start`"
        ) from error
    finally:
        studies.close()
