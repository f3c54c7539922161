"""The attempt: the steps from a candidate to the record of its trial."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from paretune.runners.build.plan import TRAINING_STAGES
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.formats import FORMATS
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.measurement import Measurement
from paretune.search.configure.schema import LatencyFirst
from paretune.search.propose.cost import CostModel
from paretune.search.propose.gate import Gate
from paretune.search.record.trial import STUDY_STAGE, Skip, TrialRecord
from paretune.search.record.unfinished import Unfinished

_MOST_DEATHS = 3
_WORTH_IT = 2.0


@dataclass(frozen=True)
class BuildStep:
    """Something for a build worker; other steps may go on meanwhile."""

    job: Callable[[BuildWorker], Any]


@dataclass(frozen=True)
class MeasureStep:
    """Something for the evaluator, which needs the machine for itself."""

    job: Callable[[Evaluator], Any]


Steps = Generator[BuildStep | MeasureStep, Any, TrialRecord]


@dataclass
class Attempt:
    """One trial from its candidate to its record.

    If training is missing that costs more than finding out whether it is worth it, the candidate's
    skeleton is built and timed first, and the gate is asked before each part of the training.

    Attributes:
        trial: The trial.
        model_format: What the candidate's runner takes.
        gate: Judges whether the candidate may still reach the frontier.
        cost: Says what stages are expected to take.
        latency_first: Whether to time skeletons: ``auto`` does where it is cheaper than training.
    """

    trial: Unfinished
    model_format: str
    gate: Gate
    cost: CostModel
    latency_first: LatencyFirst = "auto"
    _started_at: float = field(default_factory=time.time, init=False)
    _seconds: defaultdict[str, float] = field(
        default_factory=lambda: defaultdict(float), init=False
    )
    _quality: dict[str, float] = field(default_factory=dict, init=False)
    _losses: dict[str, list[float]] = field(default_factory=dict, init=False)
    _lineage: dict[str, str] = field(default_factory=dict, init=False)
    _saved: float = field(default=0.0, init=False)

    def steps(self) -> Steps:
        """Yield what is to be done, take what came of it, return the record."""
        if self.trial.deaths >= _MOST_DEATHS:
            times = self.trial.deaths
            message = f"the study's process died {times} times while this was built or measured"
            return self._record(Failure(STUDY_STAGE, FailureKind.CRASH, message))
        candidate = self.trial.candidate
        skipped = yield from self._look_ahead()
        if skipped is not None:
            return self._record(skipped)
        artifact = yield BuildStep(lambda w: w.build(candidate.build, self.model_format))
        if isinstance(artifact, Failure):
            return self._record(artifact)
        self._note(artifact)
        done = self._seconds
        self._saved = sum(r.seconds for r in artifact.lineage if r.stage not in done)
        self._lineage = {record.stage: record.output for record in artifact.lineage}
        outcome = yield from self._measure(lambda e: e.measure(artifact, candidate.run), "measure")
        return self._record(outcome)

    def _look_ahead(self) -> Generator[BuildStep | MeasureStep, Any, Skip | Failure | None]:
        """Train as far as it may be worth it; return why it is not worth going on, if so."""
        build, run = self.trial.candidate.build, self.trial.candidate.run
        if self.latency_first == "never" or self.gate.quality_bound(build) is None:
            return None
        missing = yield BuildStep(lambda w: w.missing(build, self.model_format))
        if isinstance(missing, Failure):
            return missing
        training = [stage for stage in missing if stage in TRAINING_STAGES]
        if not training or not self._is_worth_it(training):
            return None
        skeleton = yield BuildStep(lambda w: w.build(build, self.model_format, is_skeleton=True))
        if isinstance(skeleton, Failure):
            return _for_good(skeleton)
        self._seconds["skeleton"] += sum(skeleton.stage_seconds.values())
        timing = yield from self._measure(lambda e: e.time(skeleton, run), "measure-skeleton")
        if isinstance(timing, Failure):
            return _for_good(timing)
        for stage in training:
            skip = self.gate.judge(self.trial.candidate, timing, stage, self._quality)
            if skip is not None:
                return skip
            trained = yield BuildStep(partial(BuildWorker.train, spec=build, until=stage))
            if isinstance(trained, Failure):
                return trained
            self._note(trained)
        return None

    def _is_worth_it(self, training: list[str]) -> bool:
        if self.latency_first == "always":
            return True
        student = self.trial.candidate.build.student
        expected = sum(self.cost.stage_seconds(stage, student) for stage in training)
        export = FORMATS.get(self.model_format).stage
        skeleton = sum(
            self.cost.stage_seconds(stage, student) for stage in (export, "quantize", "measure")
        )
        return expected > _WORTH_IT * skeleton

    def _measure(
        self, job: Callable[[Evaluator], Measurement | Failure], name: str
    ) -> Generator[MeasureStep, Any, Measurement | Failure]:
        def timed(evaluator: Evaluator) -> Measurement | Failure:
            started = time.monotonic()
            outcome = job(evaluator)
            self._seconds[name] += time.monotonic() - started
            return outcome

        outcome: Measurement | Failure = yield MeasureStep(timed)
        return outcome

    def _note(self, done: Any) -> None:
        for stage, seconds in done.stage_seconds.items():
            self._seconds[stage] += seconds
            if stage in done.train_losses:
                self._losses[stage] = list(done.train_losses[stage])
        self._quality.update(done.stage_quality)

    def _record(self, outcome: Measurement | Failure | Skip) -> TrialRecord:
        return TrialRecord(
            number=self.trial.number,
            candidate=self.trial.candidate,
            outcome=outcome,
            started_at=self._started_at,
            finished_at=time.time(),
            stage_seconds=dict(self._seconds),
            lineage=self._lineage,
            saved_seconds=self._saved,
            stage_quality=self._quality,
            train_losses=self._losses,
        )


def _for_good(failure: Failure) -> Failure | None:
    """Return a failure that training cannot mend; any other is no reason to leave the candidate."""
    return failure if failure.kind is FailureKind.UNSUPPORTED else None
