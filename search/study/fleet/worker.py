"""A host of a fleet, as a process: `paretune worker`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from paretune.runners.execute.executor import BUILD
from paretune.runners.fleet.device.host_versions import (
    ANNOUNCED,
    own_versions,
    refuse_to_join_others,
)
from paretune.runners.fleet.fleet import connected
from paretune.runners.fleet.fleet_host import FleetHost, as_plugin, slot_of
from paretune.runners.fleet.installed import check_installed
from paretune.runners.fleet.keys import security
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from paretune.runners.fleet.device.measuring_studies import MeasuringStudies
    from paretune.search.study.fleet.studies import Studies

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
        StudyError: If Dask is not installed, the scheduler does not answer, or the fleet's hosts
            have another version of Paretune, Python or Dask.
    """
    check_installed()
    import dask
    import distributed
    from distributed.comm.addressing import parse_host_port
    from distributed.utils import get_ip

    dask.config.set(_QUIET)
    logging.getLogger("distributed").setLevel(logging.WARNING)
    slots = ({BUILD: builds} if builds else {}) | ({slot_of(device): 1} if device else {})
    with connected(scheduler) as client:
        others = client.scheduler_info(n_workers=-1)["workers"].values()
    refuse_to_join_others(name, others)
    if device and (same := [o["name"] for o in others if slot_of(device) in o["resources"]]):
        raise StudyError(
            f"the host {same[0]} of the fleet offers the device {device} already: choose another "
            "name, --device, or stop that host first"
        )
    if name in [other["name"] for other in others]:
        raise StudyError(
            f"the fleet has a host {name} already: choose another name, --name, or stop that "
            "host first"
        )
    studies = _studies(scheduler, name, builds, measures=device is not None)

    async def serve() -> None:
        worker = distributed.Worker(
            scheduler,
            name=name,
            # One more than there are slots: questions about the device wait for no job.
            nthreads=sum(slots.values()) + 1,
            resources={slot: float(count) for slot, count in slots.items()},
            plugins=(as_plugin(FleetHost(studies.executor, device, studies.judge)),),
            startup_information={ANNOUNCED: lambda worker: own_versions()},
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
    except (OSError, TimeoutError, RuntimeError) as error:  # the last one: Dask's, at the start
        raise StudyError(
            f"this host cannot work for the scheduler at {scheduler} any more: "
            f"{error.__cause__ or error}. Start the host again; if no scheduler answers, start one "
            "with `paretune fleet start`"
        ) from error
    finally:
        studies.close()


def _studies(
    scheduler: str, name: str, builds: int, *, measures: bool
) -> Studies | MeasuringStudies:
    """Return what opens studies; a host that only measures imports nothing that builds."""
    if builds:
        from paretune.search.study.fleet.studies import Studies

        return Studies(name, builds, measures=measures)
    from paretune.runners.fleet.device.measuring_studies import MeasuringStudies

    return MeasuringStudies(scheduler, name)
