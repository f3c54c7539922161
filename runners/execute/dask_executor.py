"""The Dask executor: does jobs on the hosts of a fleet (https://distributed.dask.org).

Dask schedules; each host keeps its own rules, as it has a local executor of its own. All of them
read and write one artifact store, on a file system that they share. A job whose host dies is done
again on another host, and stages that were kept before cost nothing.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from paretune.runners.execute import fleet_host
from paretune.runners.execute.executor import BUILD, ON_DEVICE, Site
from paretune.runners.execute.fleet_host import Assignment, slot_of
from paretune.runners.execute.job import Job
from paretune.runners.execute.local_executor import what_builds_depend_on
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.evaluator import Evaluator
from paretune.spaces import RunSpec, StudyError

if TYPE_CHECKING:
    import distributed

_CONNECT_S = 10.0
"""Seconds within which a scheduler answers. Chosen by judgement."""

_GONE_S = 60.0
"""Seconds for which a slot may have no host before its jobs are given up: a host that was started
again is back by then. Chosen by judgement.
"""

_LOOK_S = 1.0
"""Seconds between looks at the hosts. Chosen by judgement."""


class Fleet:
    """A connection to a scheduler and the device of its hosts that a study measures on.

    Args:
        scheduler: The scheduler's address, such as ``tcp://10.0.0.5:8786``.
        device: The device's name; may be left out if the hosts have only one.

    Raises:
        StudyError: If the scheduler does not answer, or no host offers what a study needs.
    """

    def __init__(self, scheduler: str, device: str | None = None) -> None:
        try:
            import distributed
        except ImportError as error:
            raise StudyError(
                "a fleet needs the extra `fleet`: pip install 'paretune[fleet]'"
            ) from error
        try:
            self.client: distributed.Client = distributed.Client(
                scheduler, timeout=_CONNECT_S, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise StudyError(
                f"no scheduler answers at {scheduler} ({error}): start one with `dask scheduler`, "
                "and hosts with `paretune worker --scheduler ADDRESS`"
            ) from error
        self.scheduler = scheduler
        try:
            self.device = self._chosen(device)
        except StudyError:
            self.client.close()
            raise

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *ended: object) -> None:
        self.client.close()

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler has gone."""
        return bool(self.client.status != "running")

    def offered(self) -> dict[str, int]:
        """Return how many jobs each slot takes at once, over all hosts.

        Raises:
            StudyError: If the scheduler has gone, or two hosts offer a device of the same name.
        """
        found: dict[str, int] = {}
        for worker in self._hosts().values():
            for slot, count in worker["resources"].items():
                found[slot] = found.get(slot, 0) + int(count)
        if twice := [slot for slot, count in found.items() if slot != BUILD and count > 1]:
            raise StudyError(
                f"{found[twice[0]]} hosts of the fleet offer {twice[0]}: a study must be measured "
                "on one device; give each a name of its own, paretune worker --device NAME"
            )
        return found

    def _hosts(self) -> dict[str, Any]:
        try:
            if self.client.status == "running":
                found: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
                return found
            why = self.client.status
        except (OSError, TimeoutError) as error:
            why = str(error)
        raise StudyError(
            f"the scheduler at {self.scheduler} has gone ({why}): start it again, then its hosts, "
            "then the same command, which continues"
        )

    def machine(self) -> dict[str, str]:
        """Return what describes the machine that measures."""
        found: dict[str, str] = self.on_device(fleet_host.machine)
        return found

    def on_device(self, ask: Any, *arguments: Any) -> Any:
        """Return what a function says on the host of the device."""
        task = self.client.submit(
            ask, *arguments, pure=False, workers=[self._host()], allow_other_workers=False
        )
        return task.result()

    def _host(self) -> str:
        slot = slot_of(self.device)
        hosts = [name for name, each in self._hosts().items() if slot in each["resources"]]
        if not hosts:
            raise StudyError(self.missing(slot))
        return str(hosts[0])

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


class DaskExecutor:
    """Does jobs on the hosts of a fleet (see :class:`Executor`).

    Args:
        fleet: The hosts.
        study: The study file.
        evaluator: Says what is measured, how much, and where outcomes are kept.
    """

    def __init__(self, fleet: Fleet, study: Path, evaluator: Evaluator) -> None:
        self._fleet = fleet
        building = what_builds_depend_on(evaluator.fingerprint)
        self._assignment = Assignment(
            study.resolve(), evaluator.settings, evaluator.samples, building
        )
        self._store = evaluator.store
        self._outcomes = Outcomes(evaluator.store)
        self._sites: dict[str, Site] = {}
        self._under_way: dict[str, tuple[Future[Outcome], distributed.Future[Any], str]] = {}
        self._ended = threading.Event()
        self._missing_since: dict[str, float] = {}

    def site(self, run: RunSpec) -> Site:
        """Return where candidates with this run are built and measured (see :class:`Executor`)."""
        if run.target not in self._sites:
            self._sites[run.target] = self._fleet.on_device(fleet_host.site, self._assignment, run)
        return self._sites[run.target]

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once (see :class:`Executor`)."""
        return self._fleet.offered().get(slot, 0)

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Submit a job to a slot (see :class:`Executor`)."""
        key = job.key
        known = self._under_way.get(key)
        if known is not None and not known[0].done():
            return known[0]
        if isinstance(job, ON_DEVICE) == (slot == BUILD) or not self.capacity(slot):
            raise ValueError(f"a {type(job).__name__} cannot be done in a slot {slot!r}")
        future: Future[Outcome] = Future()
        if (kept := self._outcomes.kept(job)) is not None:
            future.set_result(kept)
            return future
        task = self._fleet.client.submit(
            fleet_host.perform,
            self._assignment,
            job,
            key=f"{type(job).__name__.lower()}-{uuid4().hex}",
            resources={slot: 1},
            pure=False,
        )
        self._under_way[key] = future, task, slot
        task.add_done_callback(lambda done: self._take(done, future))
        return future

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until a job has ended, or for so many seconds (see :class:`Executor`)."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        self._forget_ended()
        while self._under_way:
            left = _LOOK_S if until is None else min(_LOOK_S, until - time.monotonic())
            if self._ended.wait(max(left, 0.0)):
                self._ended.clear()
                break
            self._give_up_what_waits_in_vain()
            if until is not None and time.monotonic() >= until:
                break
        self._forget_ended()

    def cancel(self) -> None:
        """Stop all pending jobs (see :class:`Executor`)."""
        tasks = [task for _, task, _ in self._under_way.values()]
        for future, _, _ in self._under_way.values():
            future.cancel()
        if not self._fleet.is_lost:
            self._fleet.client.cancel(tasks, force=True)
            self._fleet.client.run(fleet_host.stop, self._assignment.study)
        self._under_way.clear()

    def close(self, *, kill: bool = False) -> None:
        """Release everything (see :class:`Executor`)."""
        if kill:
            self.cancel()
        while self._under_way:
            self.wait()

    def _forget_ended(self) -> None:
        self._under_way = {k: e for k, e in self._under_way.items() if not e[0].done()}

    def _take(self, task: distributed.Future[Any], future: Future[Outcome]) -> None:
        """Give a future what its task says; called in a thread of Dask's."""
        from distributed.scheduler import KilledWorker

        if future.done():
            return
        try:
            values = task.result()
            outcome = Outcome.from_dict(values, self._store)
            if outcome is None:
                raise StudyError(
                    f"a host has done its job, but its files are not in {self._store.root}: all "
                    "machines of a fleet must share the folder of the store"
                )
            future.set_result(outcome)
        except KilledWorker as error:
            words = f"every host that did this job died of it: {error}"
            future.set_result(Outcome(Failure("fleet", FailureKind.CRASH, words)))
        except CancelledError:
            future.cancel()
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._ended.set()

    def _give_up_what_waits_in_vain(self) -> None:
        """Fail the jobs that no host will ever take.

        Raises:
            StudyError: If the scheduler has gone.
        """
        offered, now = self._fleet.offered(), time.monotonic()
        for future, _, slot in self._under_way.values():
            if slot in offered:
                self._missing_since.pop(slot, None)
            elif now - self._missing_since.setdefault(slot, now) > _GONE_S and not future.done():
                future.set_exception(StudyError(self._fleet.missing(slot)))
                self._ended.set()
