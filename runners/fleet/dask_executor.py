"""The Dask executor: does jobs on the hosts of a fleet (https://distributed.dask.org).

Dask schedules; each host keeps its own rules, as it has a local executor of its own. All of them
read and write one artifact store, in a folder that they share or at a URL. A job whose host dies is
done again on another host, and stages that were kept before cost nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from paretune.runners.execute.executor import BUILD, ON_DEVICE, Site
from paretune.runners.execute.job import Build, Job, Train
from paretune.runners.execute.local_executor import what_builds_depend_on
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.fleet import fleet_host
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.device.evaluator_setup import EvaluatorSetup
from paretune.runners.fleet.fleet import GONE_S, Fleet
from paretune.runners.fleet.fleet_host import Done, slot_of
from paretune.runners.fleet.stage_events import StagesElsewhere
from paretune.runners.measure.evaluator import Evaluator
from paretune.spaces import ParetuneError, RunSpec, StudyError

if TYPE_CHECKING:
    import distributed

_LOG = logging.getLogger("paretune")

_AHEAD = 3
"""Trials that may be under way per build at once. Chosen by judgement: trainings that end at the
same time wait for the device one after the other, and meanwhile the next ones are built.
"""

_LOOK_S = 1.0
"""Seconds between looks at the hosts. Chosen by judgement."""


@dataclass
class _Pending:
    """A job that a host does, or will do.

    Attributes:
        job: The job.
        slot: The slot that it needs.
        future: What has its outcome in the end.
        task: The task of Dask's that does it; ``None`` until it is sent.
        tried: Addresses of the hosts that could not do it.
    """

    job: Job
    slot: str
    future: Future[Outcome]
    task: distributed.Future[Any] = None
    tried: set[str] = field(default_factory=set)


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
            study.resolve(),
            evaluator.settings,
            evaluator.samples,
            building,
            EvaluatorSetup.of(evaluator),
            str(evaluator.store.root),
            evaluator.store.url,
        )
        self._store = evaluator.store
        self._outcomes = Outcomes(evaluator.store)
        self._sites: dict[str, Site] = {}
        self._under_way: dict[str, _Pending] = {}
        self._ended = threading.Event()
        self._sending = threading.Lock()
        self._missing_since: dict[str, float] = {}
        self._stages = StagesElsewhere(fleet.client, self._assignment.study)

    def site(self, run: RunSpec) -> Site:
        """Return where candidates with this run are built and measured (see :class:`Executor`)."""
        if run.target not in self._sites:
            self._sites[run.target] = self._fleet.on_device(fleet_host.site, self._assignment, run)
        return self._sites[run.target]

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once (see :class:`Executor`)."""
        return self._fleet.offered().get(slot, 0)

    def has_room(self, building: int, measuring: int) -> bool:
        """Return whether one more trial would have a slot soon (see :class:`Executor`).

        One more than are built at once, so that no host waits for the search, whatever waits for
        the device; but not so many that the search proposes without having learned anything.
        """
        builds = self.capacity(BUILD)
        return building <= builds and building + measuring <= _AHEAD * max(builds, 1)

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Submit a job to a slot (see :class:`Executor`)."""
        key = job.key
        known = self._under_way.get(key)
        if known is not None and not known.future.done():
            return known.future
        # Its host may be away for a moment: wait() gives up if it stays away.
        if slot != (slot_of(self._fleet.device) if isinstance(job, ON_DEVICE) else BUILD):
            raise ValueError(f"a {type(job).__name__} cannot be done in a slot {slot!r}")
        future: Future[Outcome] = Future()
        if (kept := self._outcomes.kept(job)) is not None:
            future.set_result(kept)
            return future
        self._under_way[key] = pending = _Pending(job, slot, future)
        self._send(pending)
        return future

    def _send(self, pending: _Pending) -> None:
        """Let a host that has not tried it do a job.

        Of a build that another study has sent as well, on behalf of another device, there is one
        task.
        """
        with self._sending:
            if not pending.future.done():
                self._submit(pending)

    def _submit(self, pending: _Pending) -> None:
        job, key = pending.job, uuid4().hex
        if isinstance(job, Build | Train) and pending.task is None:
            place = self._assignment.url or self._assignment.store
            key = replace(job, occasion=f"any trial, kept in {place}").key
        untried = self._fleet.with_slot(pending.slot) - pending.tried if pending.tried else None
        pending.task = self._fleet.client.submit(
            fleet_host.perform,
            self._assignment,
            job,
            key=f"{type(job).__name__.lower()}-{key}",
            resources={pending.slot: 1},
            pure=False,
            workers=sorted(untried) if untried else None,
            allow_other_workers=bool(untried),  # if those have gone meanwhile
        )
        pending.task.add_done_callback(lambda done: self._take(done, pending))

    def stages(self) -> Sequence[OngoingStage]:
        """Return the stages that are under way (see :class:`Executor`)."""
        return self._stages()

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
        with self._sending:
            for pending in self._under_way.values():
                pending.future.cancel()
        tasks = [pending.task for pending in self._under_way.values()]
        self._fleet.soon(lambda: self._stop(tasks))
        self._under_way.clear()

    def _stop(self, tasks: list[distributed.Future[Any]]) -> None:
        """End tasks on their hosts; a scheduler that has gone has no more of them."""
        with suppress(Exception):
            self._fleet.client.cancel(tasks)  # not those that another study waits for
            self._fleet.client.run(fleet_host.stop, self._assignment.study)

    def close(self, *, kill: bool = False) -> None:
        """Release everything (see :class:`Executor`)."""
        if kill:
            self.cancel()
        while self._under_way:
            self.wait()

    def _forget_ended(self) -> None:
        self._under_way = {k: e for k, e in self._under_way.items() if not e.future.done()}

    def _take(self, task: distributed.Future[Any], pending: _Pending) -> None:
        """Give a future what its task says; called in a thread of Dask's."""
        if pending.future.done():
            return
        said: Outcome | BaseException | None
        try:
            said = self._said(task, pending)
        except BaseException as error:
            said = error
        # Before anybody knows of it: to the same job Dask would say the same again. It lets go of a
        # task in its own loop, a moment later.
        task.release()
        has_let_go = threading.Event()
        self._fleet.client.loop.add_callback(has_let_go.set)
        has_let_go.wait(_LOOK_S)
        if said is not None:
            self._settle(pending, said)
        self._ended.set()

    def _said(self, task: distributed.Future[Any], pending: _Pending) -> Outcome | None:
        """Return what a task says, or ``None`` if its job was sent again.

        Raises:
            BaseException: What concerns more than this job.
        """
        from distributed.scheduler import KilledWorker

        try:
            done: Done = task.result()
        except KilledWorker as error:
            words = f"every host that did this job died of it: {error}"
            return Outcome(Failure("fleet", FailureKind.CRASH, words))
        except CancelledError as error:  # not by this executor, which cancels its own future first
            if self._fleet.client.status != "running":
                raise StudyError(self._fleet.gone("it dropped a job")) from error
            self._send(pending)  # another study has ended that had sent it as well
            return None
        if self._is_of_another_study(done):
            self._send(pending)
            return None
        if done.error is not None:
            self._try_elsewhere(pending, done.host, done.error)
            return None
        outcome = Outcome.from_dict(done.outcome or {}, self._store.has)
        if outcome is None:
            raise StudyError(
                f"a host has done its job, but its files are not in {self._store.root}: all "
                "machines of a fleet must share the folder of the store"
            )
        return outcome

    def _is_of_another_study(self, done: Done) -> bool:
        """Tell whether a job went wrong under the limits of another study: ours may be wider."""
        went_wrong = done.error is not None or (done.outcome or {}).get("kind") == "failure"
        return went_wrong and done.study != self._assignment.study

    @staticmethod
    def _settle(pending: _Pending, said: Outcome | BaseException) -> None:
        """Give a future what came of its job, unless it was cancelled in this moment."""
        with suppress(InvalidStateError):
            if isinstance(said, Outcome):
                pending.future.set_result(said)
            else:
                pending.future.set_exception(said)

    def _try_elsewhere(self, pending: _Pending, host: str, error: ParetuneError) -> None:
        """Let another host do a job that one could not do, for lack of disk or of a package.

        Raises:
            ParetuneError: That error, if there is no other host.
        """
        pending.tried.add(host)
        if not self._fleet.with_slot(pending.slot) - pending.tried:
            raise error
        _LOG.warning("the host at %s cannot work, so another one does: %s", host, error)
        self._send(pending)

    def _give_up_what_waits_in_vain(self) -> None:
        """Fail the jobs that no host will ever take.

        Raises:
            StudyError: If the scheduler has gone.
        """
        offered, now = self._fleet.offered(), time.monotonic()
        for pending in self._under_way.values():
            slot, future = pending.slot, pending.future
            if slot in offered:
                self._missing_since.pop(slot, None)
            elif now - self._missing_since.setdefault(slot, now) > GONE_S and not future.done():
                self._settle(pending, StudyError(self._fleet.missing(slot)))
                self._ended.set()
