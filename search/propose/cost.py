"""The cost of a candidate: the stages it still needs, estimated from past stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from paretune.runners.build.plan import plan
from paretune.runners.formats import FORMATS
from paretune.runners.workload.recipe import Recipe
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.spaces import BuildSpec, Candidate

_MEASURE = "measure"
_UNKNOWN_SECONDS = 5.0
"""Seconds of a stage that never ran. Chosen by judgement; the first run replaces it."""

Work = tuple[str, ...]
"""A stage and the parts of a build that it depends on."""


@dataclass
class Mean:
    """The mean of some numbers, of which no more is kept: there is one per trial.

    Attributes:
        count: How many they are.
        total: Their sum.
    """

    count: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        """Take in another number."""
        self.count += 1
        self.total += value

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def value(self) -> float:
        """The mean; there must be a number."""
        return self.total / self.count


class CostModel:
    """Expected seconds of candidates, learned from the trials of a study.

    A stage that a trial has run costs nothing for the next candidate that shares it, unless its
    output has left the store. Any other stage is expected to take as long as for the same student.
    If that student was never trained, the estimate of a training is its epochs times the measured
    time per epoch, corrected by the error of past estimates; the estimate of any other stage is its
    average.

    Args:
        history: The study so far; read again whenever it has grown.
        recipe: Determines how trainings are divided.
        epoch_seconds: Seconds per epoch of each model, as far as measured.
        is_file: Whether the reference is an ONNX file (see :func:`plan`).
    """

    def __init__(
        self,
        history: History,
        recipe: Recipe,
        epoch_seconds: Mapping[str, float] | None = None,
        *,
        is_file: bool = False,
    ) -> None:
        self.history = history
        self.recipe = recipe
        self.is_file = is_file
        self.epoch_seconds = dict(epoch_seconds or {})
        self._off = Mean()
        self._seen = 0
        self._done: dict[Work, str | None] = {}
        self._gone: set[str] = set()
        self._seconds: defaultdict[Work, Mean] = defaultdict(Mean)
        self._of_build: dict[BuildSpec, float] = {}

    def seconds(self, candidate: Candidate) -> float:
        """Return the expected wall-clock seconds of building and measuring a candidate."""
        self._catch_up()
        build = candidate.build
        if build not in self._of_build:
            self._of_build[build] = sum(
                self.stage_seconds(stage, build.student)
                for stage in [*self._missing(build), _MEASURE]
            )
        return self._of_build[build]

    def note_stored(self, names: Collection[str]) -> None:
        """Learn which files the store holds; the stages of other files have to run again.

        Args:
            names: Digests of all files in the store. Files of later trials are added automatically.
        """
        self._catch_up()
        self._gone = {name for name in self._done.values() if name is not None} - set(names)
        self._of_build.clear()

    def stage_seconds(self, stage: str, student: str) -> float:
        """Return the expected wall-clock seconds of a stage for a student."""
        self._catch_up()
        if own := self._seconds[(stage, student)]:
            return own.value
        if (expected := self._training_seconds(stage, student)) is not None:
            return expected * (self._off.value if self._off else 1.0)
        if usual := self._seconds[(stage,)]:
            return usual.value
        if stage.endswith("-short"):
            rest = self._seconds[(stage.removesuffix("-short"),)]
            return rest.value * self.recipe.short_share if rest else _UNKNOWN_SECONDS
        reference = self._seconds[("reference",)]
        if stage in ("distill", "fine-tune", "qat") and reference:
            return reference.value
        return _UNKNOWN_SECONDS

    def _training_seconds(self, stage: str, student: str) -> float | None:
        """Return the expected seconds of a training, from the measured seconds per epoch."""
        training = stage.removesuffix("-short")
        is_short = training != stage
        whole = {
            "distill": self.recipe.distill_epochs,
            "fine-tune": self.recipe.fine_tune_epochs,
            "qat": self.recipe.qat_epochs,
        }
        if training not in whole or student not in self.epoch_seconds:
            return None
        short = self.recipe.short_epochs(whole[training])
        epochs = short if is_short else whole[training] - short
        return epochs * self.epoch_seconds[student]

    def _missing(self, build: BuildSpec) -> list[str]:
        """Return the stages that a build has to run: all after its last stored output.

        Outputs before that one are not needed (see :meth:`Builder.missing`).
        """
        stages = [stage for stage, _ in plan(build, self.recipe, is_file=self.is_file)]
        missing: list[str] = []
        while stages and not self._is_stored(_work(stages[-1], build)):
            missing.append(stages.pop())
        return missing

    def _is_stored(self, work: Work) -> bool:
        return work in self._done and self._done[work] not in self._gone

    def _catch_up(self) -> None:
        new = self.history.records[self._seen :]
        self._seen = len(self.history.records)
        for record in new:
            self._learn(record)
        if new:
            self._of_build.clear()

    def _learn(self, record: TrialRecord) -> None:
        build = record.candidate.build
        # A skipped trial records that it has trained, but not the resulting file.
        for stage in record.stage_quality:
            self._done.setdefault(_work(stage, build), None)
        for stage, output in record.lineage.items():
            self._done[_work(stage, build)] = output
            self._gone.discard(output)
        for stage, seconds in record.stage_seconds.items():
            self._seconds[(stage,)].add(seconds)
            self._seconds[(stage, build.student)].add(seconds)
            expected = self._training_seconds(stage, build.student)
            # Epochs with simulated rounding take longer than the timed ones.
            if expected and build.pruning_ratio == 0 and not stage.startswith("qat"):
                self._off.add(seconds / expected)


def _work(stage: str, build: BuildSpec) -> Work:
    if stage in ("reference", "import-model"):
        return (stage,)
    parts: list[str] = [stage, build.student]
    if not stage.startswith("distill"):
        parts.append(str(build.pruning_ratio))
    exported = next((each for each in FORMATS if each.stage == stage), None)
    if exported and not exported.export_quantizes and build.quantization.record.needs_training:
        parts.append("qat")
    if stage == "quantize" or (exported and exported.export_quantizes):
        parts += [build.quantization.value, str(build.fp32_layer_share)]
    return tuple(parts)
