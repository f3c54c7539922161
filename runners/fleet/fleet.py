"""A fleet: the hosts that a Dask scheduler knows, and the device that a study measures on."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretune.runners.execute.executor import BUILD
from paretune.runners.fleet import fleet_host
from paretune.runners.fleet.device.host_versions import refuse_other_hosts
from paretune.runners.fleet.fleet_host import slot_of
from paretune.runners.fleet.installed import check_installed
from paretune.runners.fleet.keys import ENCRYPTED, security
from paretune.spaces import StudyError

if TYPE_CHECKING:
    import distributed

CONNECT_S = 10.0
"""Seconds within which a scheduler answers. Chosen by judgement."""

GONE_S = 60.0
"""Seconds for which a slot may have no host before its jobs are given up: a host that was started
again is back by then. Chosen by judgement.
"""

_LOOK_S = 1.0
"""Seconds for which an answer about the hosts holds: the loop asks many times per second. Chosen by
judgement.
"""


@dataclass(frozen=True)
class HostState:
    """A host of a fleet, now.

    Attributes:
        name: Its name.
        offers: How many jobs each of its slots takes at once.
        machine: What describes the machine (see :func:`paretune.runners.environment.fingerprint`).
        condition: Its clock (``MHz``) and highest temperature (``°C``), where they can be read.
        jobs: The kinds of jobs that it is doing or that wait there.
    """

    name: str
    offers: dict[str, int]
    machine: dict[str, str]
    condition: dict[str, float]
    jobs: tuple[str, ...]


def connected(scheduler: str) -> distributed.Client:
    """Return a client of a scheduler.

    Raises:
        StudyError: If Dask is not installed, or the scheduler does not answer.
    """
    check_installed()
    import distributed

    # It lists every package that a host lacks; what must be equal is checked (host_versions.py).
    warnings.filterwarnings("ignore", category=distributed.versions.VersionMismatchWarning)
    # What it logs when a scheduler has gone is said in words by whoever needs the scheduler.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client: distributed.Client = distributed.Client(
            scheduler, timeout=CONNECT_S, set_as_default=False, security=security(scheduler)
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise StudyError(
            f"no scheduler answers at {scheduler} ({error}): start one with `paretune fleet "
            "start`, and hosts with `paretune worker --scheduler ADDRESS`; its address begins with "
            f"{ENCRYPTED} if it encrypts"
        ) from error
    return client


def scheduler_gone(scheduler: str, why: str) -> str:
    """Return an error message about a scheduler that has gone."""
    return (
        f"the scheduler at {scheduler} has gone ({why}): start it again, then its hosts, then the "
        "same command, which continues"
    )


def answer(task: distributed.Future[Any], wait_s: float) -> Any:
    """Return what a task says, or ``None`` if it says nothing for so many seconds.

    Raises:
        BaseException: The task's own error; ``CancelledError`` if the scheduler has gone.
    """
    try:
        return task.result(timeout=wait_s)
    except TimeoutError:
        if task.status == "error":
            raise  # its own
        return None


def hosts(scheduler: str) -> list[HostState]:
    """Return the hosts of a fleet, by name.

    Raises:
        StudyError: If the scheduler does not answer.
    """
    with connected(scheduler) as client:
        known = client.scheduler_info(n_workers=-1)["workers"]
        # A host may come or go meanwhile.
        machines = client.run(fleet_host.machine, on_error="ignore")
        conditions = client.run(fleet_host.condition, on_error="ignore")
        doing = client.processing()
    found = [
        HostState(
            str(each["name"]),
            {slot: int(count) for slot, count in each["resources"].items()},
            machines[address],
            conditions[address],
            tuple(sorted(str(key).partition("-")[0] for key in doing.get(address, ()))),
        )
        for address, each in known.items()
        if address in machines and address in conditions
    ]
    return sorted(found, key=lambda host: host.name)


class Fleet:
    """A connection to a scheduler and the device of its hosts that a study measures on.

    Args:
        scheduler: The scheduler's address, such as ``tcp://10.0.0.5:8786``.
        device: The device's name; may be left out if the hosts have only one.

    Raises:
        StudyError: If the scheduler does not answer, no host offers what a study needs, or such a
            host has another version of Paretune, Python or Dask.
    """

    def __init__(self, scheduler: str, device: str | None = None) -> None:
        self.client = connected(scheduler)
        self.scheduler = scheduler
        self._seen: dict[str, Any] = {}
        self._seen_until = 0.0
        self.device = device or ""
        try:
            self.device = self._chosen(device)
            self.offered()
            refuse_other_hosts(self._hosts().values(), {BUILD, slot_of(self.device)})
        except StudyError:
            self.soon(self.client.close)
            raise

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *ended: object) -> None:
        self.soon(self.client.close)

    def soon(self, do: Callable[[], object]) -> None:
        """Do something with the client, but do not wait long for a scheduler that has gone."""
        thread = threading.Thread(target=do, daemon=True)
        thread.start()
        thread.join(CONNECT_S)

    def offered(self) -> dict[str, int]:
        """Return how many jobs each slot takes at once, over all hosts.

        Raises:
            StudyError: If the scheduler has gone, or two hosts offer the study's device.
        """
        found: dict[str, int] = {}
        for worker in self._hosts().values():
            for slot, count in worker["resources"].items():
                found[slot] = found.get(slot, 0) + int(count)
        own = slot_of(self.device)
        if found.get(own, 0) > 1:
            raise StudyError(
                f"{found[own]} hosts of the fleet offer {own}: a study must be measured on one "
                "device; give each a name of its own, paretune worker --device NAME"
            )
        return found

    def with_slot(self, slot: str) -> set[str]:
        """Return the addresses of the hosts that offer a slot."""
        return {address for address, each in self._hosts().items() if slot in each["resources"]}

    def _hosts(self) -> dict[str, Any]:
        if time.monotonic() < self._seen_until:
            return self._seen
        try:
            if self.client.status == "running":
                self._seen = self.client.scheduler_info(n_workers=-1)["workers"]
                self._seen_until = time.monotonic() + _LOOK_S
                return self._seen
            why = self.client.status
        except (OSError, TimeoutError) as error:
            why = str(error)
        raise StudyError(self.gone(why))

    def gone(self, why: str) -> str:
        """Return an error message about a scheduler that has gone."""
        return scheduler_gone(self.scheduler, why)

    def machine(self) -> dict[str, str]:
        """Return what describes the machine that measures."""
        found: dict[str, str] = self.on_device(fleet_host.machine)
        return found

    def on_device(self, ask: Any, *arguments: Any) -> Any:
        """Return what a function says on the host of the device; wait while it is away.

        Raises:
            StudyError: If the scheduler has gone, or the host stays away.
        """
        slot, away_since = slot_of(self.device), time.monotonic()
        while time.monotonic() - away_since < GONE_S:
            if host := min(self.with_slot(slot), default=None):
                task = self.client.submit(
                    ask, *arguments, pure=False, workers=[host], allow_other_workers=False
                )
                while host in self.with_slot(slot):
                    if (said := self._answer(task)) is not None:
                        return said
                task.cancel()
                away_since = time.monotonic()
            time.sleep(_LOOK_S)
        raise StudyError(self.missing(slot))

    def _answer(self, task: distributed.Future[Any]) -> Any:
        try:
            return answer(task, _LOOK_S)
        except CancelledError as error:
            raise StudyError(self.gone(str(error))) from error

    def missing(self, slot: str) -> str:
        """Return an error message about a slot that no host offers."""
        option = "--builds 1" if slot == BUILD else f"--device {slot.partition(':')[2]}"
        return (
            f"no host of the fleet at {self.scheduler} offers {slot}; on offer: "
            f"{', '.join(sorted(self.offered())) or 'nothing'}. Start a host: paretune worker "
            f"--scheduler {self.scheduler} {option}"
        )

    def _chosen(self, device: str | None) -> str:
        names = sorted(slot[len(slot_of("")) :] for slot in self.offered() if slot != BUILD)
        if device is None and len(names) > 1:
            raise StudyError(f"the fleet has several devices: choose one, --device {names[0]}")
        wanted = device or next(iter(names), "NAME")
        if lacking := [s for s in (BUILD, slot_of(wanted)) if s not in self.offered()]:
            raise StudyError(self.missing(lacking[0]))
        return wanted
