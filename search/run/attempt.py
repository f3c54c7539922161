"""The attempt: the jobs from a candidate to the record of its trial."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from paretune.runners.build.built import Built, Training
from paretune.runners.build.plan import TRAINING_STAGES
from paretune.runners.execute.executor import Site
from paretune.runners.execute.job import Build, Job, Measure, Missing, Train
from paretune.runners.execute.outcome import Outcome
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.formats import FORMATS
from paretune.runners.measure.measurement import Measurement
from paretune.search.configure.schema import LatencyFirst
from paretune.search.propose.cost import CostModel
from paretune.search.propose.gate import Gate
from paretune.search.record.trial import STUDY_STAGE, Skip, TrialRecord
from paretune.search.record.unfinished import Unfinished

_MOST_DEATHS = 3
"""Deaths of the study's process during one trial after which the trial counts as their cause.
Chosen by judgement.
"""

_WORTH_IT = 2.0
"""Times the skeleton's seconds that training must cost for the skeleton to be timed first. At 2, a
skeleton pays off if it saves every second training. Chosen by judgement.
"""

Jobs = Generator[Job, Outcome, TrialRecord]
"""Yields jobs, receives their outcomes, returns the record."""


@dataclass
class Attempt:
    """One trial from its candidate to its record.

    If a missing training costs more than finding out whether it is worth it, the candidate's
    skeleton is built and timed first, and the gate is asked before each part of the training.

    Attributes:
        trial: The trial.
        site: Where the candidate is built and measured.
        gate: Decides whether the candidate may still reach the frontier.
        cost: Estimates the seconds of stages.
        latency_first: Whether to time skeletons; ``auto`` does so if it is cheaper than training.
        occasion: Names the trial uniquely, for the keys of its jobs.
    """

    trial: Unfinished
    site: Site
    gate: Gate
    cost: CostModel
    latency_first: LatencyFirst = "auto"
    occasion: str = ""
    _started_at: float = field(default_factory=time.time, init=False)
    _seconds: defaultdict[str, float] = field(
        default_factory=lambda: defaultdict(float), init=False
    )
    _quality: dict[str, float] = field(default_factory=dict, init=False)
    _losses: dict[str, list[float]] = field(default_factory=dict, init=False)
    _lineage: dict[str, str] = field(default_factory=dict, init=False)
    _saved: float = field(default=0.0, init=False)

    def jobs(self) -> Jobs:
        """Yield the jobs, receive their outcomes, return the record."""
        if self.trial.deaths >= _MOST_DEATHS:
            times = self.trial.deaths
            message = f"the study's process died {times} times while this was built or measured"
            return self._record(Failure(STUDY_STAGE, FailureKind.CRASH, message))
        candidate = self.trial.candidate
        skipped = yield from self._look_ahead()
        if skipped is not None:
            return self._record(skipped)
        built = yield from self._build(Build(candidate.build, self._format))
        if isinstance(built, Failure):
            return self._record(built)
        self._note(built)
        done = self._seconds
        self._saved = sum(r.seconds for r in built.lineage if r.stage not in done)
        self._lineage = {record.stage: record.output for record in built.lineage}
        measure = Measure(built.artifact, candidate.run, self.site.samples)
        outcome = yield from self._measure(measure, "measure")
        return self._record(outcome)

    def _look_ahead(self) -> Generator[Job, Outcome, Skip | Failure | None]:
        """Train as long as it may be worth it; return why to stop, if so."""
        build, run = self.trial.candidate.build, self.trial.candidate.run
        if self.latency_first == "never" or self.gate.quality_bound(build) is None:
            return None
        if build.fp32_layer_share:
            return (
                None  # which layers stay in fp32 depends on their weights, and so the latency does
            )
        missing = yield from self._do(Missing(build, self._format))
        if isinstance(missing.value, Failure):
            return missing.value
        training = [stage for stage in missing.value if stage in TRAINING_STAGES]
        if not training or not self._is_worth_it(training):
            return None
        skeleton = yield from self._build(Build(build, self._format, is_skeleton=True))
        if isinstance(skeleton, Failure):
            return _for_good(skeleton)
        self._seconds["skeleton"] += sum(skeleton.stage_seconds.values())
        measure = Measure(skeleton.artifact, run, self.site.samples, with_quality=False)
        timing = yield from self._measure(measure, "measure-skeleton")
        if isinstance(timing, Failure):
            return _for_good(timing)
        for stage in training:
            skip = self.gate.judge(self.trial.candidate, timing, stage, self._quality)
            if skip is not None:
                return skip
            trained = yield from self._do(Train(build, stage))
            if isinstance(trained.value, Failure):
                return trained.value
            self._note(trained.value)
        return None

    def _is_worth_it(self, training: list[str]) -> bool:
        if self.latency_first == "always":
            return True
        student = self.trial.candidate.build.student
        expected = sum(self.cost.stage_seconds(stage, student) for stage in training)
        export = FORMATS.get(self._format).source.stage
        skeleton = sum(
            self.cost.stage_seconds(stage, student) for stage in (export, "quantize", "measure")
        )
        return expected > _WORTH_IT * skeleton

    @property
    def _format(self) -> str:
        """The name of the format that the candidate is made in."""
        return self.site.model_format(self.trial.candidate.build)

    def _do(self, job: Job) -> Generator[Job, Outcome, Outcome]:
        """Yield a job with what makes its key: the site and the trial."""
        outcome = yield replace(job, given=self.site.given(job), occasion=self.occasion)
        return outcome

    def _build(self, job: Build) -> Generator[Job, Outcome, Built | Failure]:
        outcome = yield from self._do(job)
        built: Built | Failure = outcome.value
        return built

    def _measure(self, job: Measure, name: str) -> Generator[Job, Outcome, Measurement | Failure]:
        outcome = yield from self._do(job)
        self._seconds[name] += outcome.seconds
        measured: Measurement | Failure = outcome.value
        return measured

    def _note(self, done: Built | Training) -> None:
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
    """Return a failure that training cannot fix; others are no reason to drop the candidate."""
    return failure if failure.kind is FailureKind.UNSUPPORTED else None
