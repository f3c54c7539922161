"""The local executor: does jobs on this machine, where builds and measurements share cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from paretune.runners import environment
from paretune.runners.build.stages import stage_versions
from paretune.runners.execute.executor import BUILD, ON_DEVICE, Site
from paretune.runners.execute.job import Job, Launch, Measure, Score
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.lease import CPU
from paretune.spaces import RunSpec, digest

if TYPE_CHECKING:
    from paretune.runners.execute.build_pool import BuildPool
    from paretune.runners.execute.no_builds import NoBuilds

_DEVICE = "device:"


def what_builds_depend_on(workload: str) -> str:
    """Return the digest of all that builds depend on: the workload and the stages' versions.

    Args:
        workload: The workload's fingerprint.
    """
    return digest({"workload": workload, "stages": stage_versions()})


class LocalExecutor:
    """Builds in the workers of a pool, and measures in the thread that waits.

    Measurements come first and need the machine for themselves: builds are suspended meanwhile. To
    measure in the waiting thread keeps this process idle, too, which shares the cores. For the same
    reason the devices of one machine take turns: the same cores feed them.

    Args:
        pool: Builds, or stands for builds on a host that only measures.
        evaluator: Measures.
    """

    def __init__(self, pool: BuildPool | NoBuilds, evaluator: Evaluator) -> None:
        self._pool = pool
        self._evaluator = evaluator
        self._outcomes = Outcomes(evaluator.store)
        self._to_measure: deque[tuple[Measure | Score | Launch, Future[Outcome]]] = deque()
        self._under_way: dict[str, Future[Outcome]] = {}

    def site(self, run: RunSpec) -> Site:
        """Return where candidates with this run are built and measured (see :class:`Executor`)."""
        evaluator = self._evaluator
        measuring = {
            "workload": evaluator.fingerprint,
            "quality": evaluator.quality_metric,
            "settings": asdict(evaluator.settings),
            "versions": dict(evaluator.versions.get(run.runner, {})),
            "machine": environment.fingerprint(),
        }
        return Site(
            evaluator.formats(run),
            _DEVICE + self._device(run),
            evaluator.samples,
            what_builds_depend_on(evaluator.fingerprint),
            digest(measuring),
        )

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once (see :class:`Executor`)."""
        return self._pool.size if slot == BUILD else int(slot.startswith(_DEVICE))

    def has_room(self, building: int, measuring: int) -> bool:
        """Return whether one more trial would have a slot soon (see :class:`Executor`).

        There are as many trials as builds at once, which are suspended while one is measured.
        """
        return building + measuring < self._pool.size

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Submit a job to a slot (see :class:`Executor`)."""
        if isinstance(job, ON_DEVICE) != slot.startswith(_DEVICE) or not self.capacity(slot):
            raise ValueError(f"a {type(job).__name__} cannot be done in a slot {slot!r}")
        key = job.key
        known = self._under_way.get(key)
        if known is not None and not known.done():
            return known
        future: Future[Outcome] = Future()
        if (kept := self._outcomes.kept(job)) is not None:
            future.set_result(kept)
            return future
        if isinstance(job, ON_DEVICE):
            self._to_measure.append((job, future))
        else:
            future = self._pool.submit(job)
        self._under_way[key] = future
        future.add_done_callback(lambda _: self._under_way.pop(key, None))
        return future

    def stages(self) -> Sequence[OngoingStage]:
        """Return the stages that are under way (see :class:`Executor`)."""
        return self._pool.stages()

    def wait(self, timeout_s: float | None = None) -> None:
        """Do the next measurement, or else wait for a build (see :class:`Executor`)."""
        place = self._next()
        if place is None:
            self._pool.wait(timeout_s)
            # At once, where a build left the card: the next build would take it again.
            place = self._next()
        if place is None:
            return
        job, future = self._to_measure[place]
        del self._to_measure[place]
        if not future.set_running_or_notify_cancel():
            return
        try:
            with self._pool.paused():
                outcome = self._outcomes.once(job, lambda: self._measure(job))
        except BaseException as error:
            future.set_exception(error)
            if not isinstance(error, Exception):
                raise  # Ctrl-C ends the wait, not only the job.
        else:
            future.set_result(outcome)

    def _next(self) -> int | None:
        """Return the place of the first measurement whose device holds nothing of a build."""
        for place, (job, _) in enumerate(self._to_measure):
            if not self._pool.builds_on(self._device(job.run)):
                return place
        return None

    def _device(self, run: RunSpec) -> str:
        runner = self._evaluator.runners.get(run.runner)
        return CPU if runner is None else runner.device(run)

    def cancel(self) -> None:
        """Stop all pending jobs (see :class:`Executor`)."""
        self._drop()
        self._pool.cancel()

    def close(self, *, kill: bool = False) -> None:
        """Release everything (see :class:`Executor`)."""
        self._drop()
        self._pool.stop(kill=kill)

    def _drop(self) -> None:
        """Cancel the measurements that have not begun."""
        while self._to_measure:
            self._to_measure.popleft()[1].cancel()

    def _measure(self, job: Measure | Score | Launch) -> Any:
        evaluator = self._evaluator
        match job:
            case Score():
                do: Callable[[str, RunSpec, StoredSamples], Any] = evaluator.scored
            case Launch():
                do = evaluator.launched
            case Measure():
                do = evaluator.measure if job.with_quality else evaluator.time
        return do(job.artifact, job.run, job.samples)
