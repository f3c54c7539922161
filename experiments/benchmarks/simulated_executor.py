"""An executor on a simulated clock: builds of minutes take no time."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any

from study_problem import StudyProblem

from paretune.runners.build.built import Built, Training
from paretune.runners.build.plan import TRAINING_STAGES, plan
from paretune.runners.execute.executor import BUILD, Site
from paretune.runners.execute.job import Build, Job, Launch, Measure, Missing, Score, Train
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.execute.outcome import Outcome
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.campaign import Launched
from paretune.runners.measure.evaluator import Scored
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes import launch as launches
from paretune.runners.store.stage_record import StageRecord
from paretune.spaces import BuildSpec, Candidate, RunSpec

DEVICE = "device:simulated"
SAMPLES = StoredSamples("validation", ())


class SimulatedExecutor:
    """Does jobs on a clock that only :meth:`wait` moves.

    Args:
        do: Returns the outcome of a job that begins now, with its seconds.
        builds: How many builds run in parallel.

    Attributes:
        now: The clock, in seconds.
        spans: Slot, begin and end of every finished job, in order of their ends.
        dies: Whether the next worker is killed before it keeps its outcome.
    """

    def __init__(self, do: Callable[[Job], Outcome], builds: int = 1) -> None:
        self.now = 0.0
        self.spans: list[tuple[str, float, float]] = []
        self.dies = False
        self._do = do
        self._kept: dict[str, Outcome] = {}
        self._free_at = {BUILD: [0.0] * builds, DEVICE: [0.0]}
        self._ends: list[tuple[float, int, float, str, Job, Outcome]] = []
        self._futures: dict[str, Future[Outcome]] = {}
        self._order = count()

    def site(self, run: RunSpec) -> Site:
        """Return where a candidate is built and measured (see Executor)."""
        return Site(("onnx",), DEVICE, SAMPLES)

    def capacity(self, slot: str) -> int:
        """Return how many jobs a slot takes at once (see Executor)."""
        return len(self._free_at.get(slot, ()))

    def has_room(self, building: int, measuring: int) -> bool:
        """Return whether one more trial would have a slot soon (see Executor)."""
        return building + measuring < self.capacity(BUILD)

    def submit(self, job: Job, slot: str) -> Future[Outcome]:
        """Submit a job to a slot (see Executor); it begins as soon as the slot is free."""
        if not self.capacity(slot):
            raise ValueError(f"there is no slot {slot!r}")
        key = job.key
        if key in self._futures:
            return self._futures[key]
        future: Future[Outcome] = Future()
        if key in self._kept:
            future.set_result(self._kept[key])
            return future
        begin = max(self.now, self._free_at[slot][0])
        outcome = self._do(job)
        end = begin + outcome.seconds
        heapreplace(self._free_at[slot], end)
        heappush(self._ends, (end, next(self._order), begin, slot, job, outcome))
        self._futures[key] = future
        return future

    def stages(self) -> Sequence[OngoingStage]:
        """Return nothing: stages take no time (see Executor)."""
        return ()

    def wait(self, timeout_s: float | None = None) -> None:
        """Move the clock to the end of the next job, or by so many seconds (see Executor)."""
        until = self.now + (math.inf if timeout_s is None else timeout_s)
        if not self._ends or self._ends[0][0] > until:
            self.now = self.now if math.isinf(until) else until
            return
        end, _, begin, slot, job, outcome = heappop(self._ends)
        self.now = end
        self.spans.append((slot, begin, end))
        if self.dies:
            self.dies = False
            killed = Failure("build", FailureKind.CRASH, "the worker was killed")
            outcome = Outcome(killed, outcome.seconds)
        if job.IS_KEPT and not isinstance(outcome.value, Failure):
            self._kept[job.key] = outcome
        self._futures.pop(job.key).set_result(outcome)

    def cancel(self) -> None:
        """Stop all pending jobs (see Executor)."""
        for future in self._futures.values():
            future.cancel()
        self._futures.clear()
        self._ends.clear()
        self._free_at = {slot: [self.now] * len(at) for slot, at in self._free_at.items()}

    def close(self, *, kill: bool = False) -> None:
        """Stop all pending jobs (see Executor)."""
        self.cancel()


class SimulatedWork:
    """The outcomes of jobs on a problem.

    Args:
        problem: Provides metrics and seconds.
    """

    def __init__(self, problem: StudyProblem) -> None:
        self.problem = problem
        self._done: set[str] = set()
        self._specs: dict[str, BuildSpec] = {}

    def do(self, job: Job) -> Outcome:
        """Return the outcome of a job that begins now."""
        match job:
            case Missing():
                return Outcome(tuple(self.missing(job.spec)))
            case Train():
                steps = self._steps(job.spec)
                last = [stage for stage, _ in steps].index(job.until)
                spent = self._run(job.spec, steps[: last + 1])
                value: Any = Training(self._qualities(job.spec, job.until), spent, {})
                return Outcome(value, sum(spent.values()))
            case Build():
                steps = self._steps(job.spec, job.is_skeleton)
                spent = self._run(job.spec, steps)
                lineage = [self._record(job.spec, stage, key) for stage, key in steps]
                output = lineage[-1].output
                self._specs[output] = job.spec
                value = Built(output, tuple(lineage), spent)
                return Outcome(value, sum(spent.values()))
            case Measure():
                candidate = Candidate(self._specs[job.artifact], job.run)
                return Outcome(
                    self._measurement(job, candidate), self.problem.measure_seconds(candidate)
                )
            case Score():
                accuracy = self.problem.accuracy(self._specs[job.artifact])
                return Outcome(Scored(accuracy, (), {}), 1.0)
            case Launch():
                candidate = Candidate(self._specs[job.artifact], job.run)
                ms = self.problem.metrics(candidate)["latency_p95_ms"]
                times = launches.Launch(1.0, ms, 9, True, (ms,) * 30, 1.0, ms, 0.0, 10**8, 0.1)
                seconds = self.problem.measure_seconds(candidate) / 3
                return Outcome(Launched(times, host_was_idle=True), seconds)
        raise TypeError(f"a simulation does no {type(job).__name__}")

    def missing(self, spec: BuildSpec) -> list[str]:
        """Return the stages that a build would have to run."""
        return [stage for stage, key in self._steps(spec) if key not in self._done]

    def missing_seconds(self, spec: BuildSpec) -> float:
        """Return the seconds of the stages that a build would have to run."""
        return sum(self.problem.stage_seconds(stage, spec) for stage in self.missing(spec))

    def forget(self) -> None:
        """Forget the output of every stage."""
        self._done.clear()

    def _run(self, spec: BuildSpec, steps: list[tuple[str, str]]) -> dict[str, float]:
        spent = {
            stage: self.problem.stage_seconds(stage, spec)
            for stage, key in steps
            if key not in self._done
        }
        self._done |= {key for _, key in steps}
        return spent

    def _record(self, spec: BuildSpec, stage: str, key: str) -> StageRecord:
        seconds = self.problem.stage_seconds(stage, spec)
        return StageRecord(stage, key, {}, None, key, seconds)

    def _qualities(self, spec: BuildSpec, until: str) -> dict[str, float]:
        """Return the quality after each training."""
        qualities = {}
        for stage, _ in self._steps(spec):
            if stage in TRAINING_STAGES:
                qualities[stage] = self.problem.quality_after(stage, spec)
            if stage == until:
                break
        return qualities

    def _measurement(self, job: Measure, candidate: Candidate) -> Measurement:
        statistics = self.problem.statistics(candidate)
        if not job.with_quality:
            del statistics["accuracy"]
        return Measurement(job.run, job.artifact, statistics, 3, 0, True, True, True, 0.1, {}, "")

    def _steps(self, spec: BuildSpec, is_skeleton: bool = False) -> list[tuple[str, str]]:
        """Return the names and the keys of a build's stages."""
        steps, key = [], ""
        for stage, params in plan(spec, self.problem.recipe, is_skeleton=is_skeleton):
            key += f"/{stage}:{spec.student if stage == 'export' else ''}{params}"
            steps.append((stage, key))
        return steps
