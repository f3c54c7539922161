"""The judge of a host without the workload: it asks a host that builds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from paretune.runners.execute.executor import BUILD
from paretune.runners.failure import Failure
from paretune.runners.fleet import fleet_host
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.device.outputs_file import stored
from paretune.runners.fleet.fleet import GONE_S, answer, connected, scheduler_gone
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.spaces import ParetuneError, StudyError

if TYPE_CHECKING:
    import distributed

_LOOK_S = 1.0
"""Seconds between looks at the hosts. Chosen by judgement."""


class RemoteJudge:
    """Has a host that offers builds judge outputs (a :data:`Judge`).

    The outputs travel through the store. The task takes no slot of builds, so it waits for none.

    Args:
        scheduler: The scheduler's address.
        assignment: What hosts have to know of the study.
        gone_s: Seconds for which no host may offer builds, or the scheduler may not answer, before
            it is given up.
    """

    def __init__(self, scheduler: str, assignment: Assignment, gone_s: float = GONE_S) -> None:
        self._scheduler = scheduler
        self._assignment = assignment
        self._store = assignment.opened_store()
        self._gone_s = gone_s

    def __call__(
        self, outputs: Path, samples: StoredSamples, names: Sequence[str], resamples: int
    ) -> Judged | Failure:
        """Return what the metrics say about a model's outputs.

        Raises:
            StudyError: If no host offers builds, or the scheduler has gone.
        """
        with stored(outputs, self._store) as name, self._connected() as client:
            return self._judged(client, (name, samples, list(names), resamples))

    def _connected(self) -> distributed.Client:
        """Return a client of the scheduler; a network that is cut may be whole again soon."""
        until = time.monotonic() + self._gone_s
        while True:
            try:
                return connected(self._scheduler)
            except StudyError:
                if time.monotonic() > until:
                    raise
            time.sleep(_LOOK_S)

    def _judged(self, client: distributed.Client, arguments: tuple[Any, ...]) -> Judged | Failure:
        task: distributed.Future[Any] | None = None
        asked, failed = set[str](), set[str]()
        seen = time.monotonic()
        while True:
            try:
                hosts = _judges(client)
                if hosts and not hosts & asked:  # the first time, or all that were asked have gone
                    asked = hosts - failed or hosts
                    task = self._submitted(client, asked, arguments)
                if task is not None and (said := answer(task, _LOOK_S)) is not None:
                    if said.error is None:
                        judged: Judged | Failure = said.judged
                        return judged
                    failed.add(said.host)
                    if not hosts - failed:
                        raise said.error
                    asked, task = set(), None
                elif task is None:
                    time.sleep(_LOOK_S)
            except ParetuneError:
                raise
            except Exception as error:
                if task is not None and task.status == "error":
                    raise StudyError(f"no host could judge the outputs: {error}") from error
                why = f"while a host judged outputs, {error}"
                raise StudyError(scheduler_gone(self._scheduler, why)) from error
            if hosts:
                seen = time.monotonic()
            elif time.monotonic() - seen > self._gone_s:
                raise StudyError(
                    f"no host of the fleet at {self._scheduler} can judge outputs: only hosts that "
                    "build have the workload's metrics. Start one: "
                    f"`paretune worker --scheduler {self._scheduler} --builds 1`"
                )

    def _submitted(
        self, client: distributed.Client, hosts: set[str], arguments: tuple[Any, ...]
    ) -> distributed.Future[Any]:
        return client.submit(
            fleet_host.judge,
            self._assignment,
            *arguments,
            key=f"judge-{uuid4().hex}",
            pure=False,
            workers=sorted(hosts),
            allow_other_workers=False,
        )


def _judges(client: distributed.Client) -> set[str]:
    """Return the addresses of the hosts that may judge: rather none that measures as well."""
    offers = {
        address: set(each["resources"])
        for address, each in client.scheduler_info(n_workers=-1)["workers"].items()
    }
    building = {address for address, slots in offers.items() if BUILD in slots}
    return {each for each in building if offers[each] == {BUILD}} or building
