"""The builder: runs the stages of a build that the store does not hold yet."""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.build.built import Built, Training, losses, qualities
from paretune.runners.build.keys import Keys, StageKey
from paretune.runners.build.plan import Step, plan
from paretune.runners.build.stages import StageInput, format_made, run_stage
from paretune.runners.failure import Failure, FailureKind, StageError
from paretune.runners.formats import FORMATS
from paretune.runners.store.artifact import Artifact
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.stage_record import StageRecord
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.recipe import Recipe
from paretune.runners.workload.user_code import line_in
from paretune.spaces import (
    SCHEMES,
    BuildSpec,
    ParetuneError,
    StoreError,
    WorkloadError,
)

if TYPE_CHECKING:
    from paretune.runners.workload.learning.teacher import Teacher

_OF_THE_DISK = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG),
    *(errno.EIO, errno.ESTALE),  # a disk, or a file server, that has gone
)
_NO_MEMORY = "can't allocate memory"


class Builder:
    """Builds artifacts of one workload into one store.

    Args:
        loaded: The workload.
        store: Where stage outputs are kept and looked up.
        announce: Called with the name of each stage before it runs.
    """

    def __init__(
        self,
        loaded: LoadedWorkload,
        store: ArtifactStore,
        announce: Callable[[str], None] = lambda stage: None,
    ) -> None:
        self.loaded = loaded
        self.store = store
        self.announce = announce
        self._keys = Keys(loaded)
        self._teacher: tuple[str, Teacher] | None = None

    def build(
        self, spec: BuildSpec, model_format: str = "onnx", *, is_skeleton: bool = False
    ) -> Built | Failure:
        """Build the artifact of a specification, running only the stages that are missing."""
        scheme, made = spec.quantization.record, FORMATS.get(model_format)
        if not made.takes(scheme):
            fit = " or ".join(each.name for each in SCHEMES if made.takes(each))
            message = (
                f"{spec.quantization} cannot be made for {made.words}, which exist in {fit} only"
            )
            return Failure(made.source.stage, FailureKind.UNSUPPORTED, message)
        needs_training = spec.pruning_ratio > 0 or scheme.needs_training
        if self.loaded.model_file and (made.source.import_stage is None or needs_training):
            what = "that cannot be trained"
            if made.source.import_stage is None:
                what = f"the runtime takes {made.words}"
            message = f"the reference is an ONNX file: {what}; write a workload with models()"
            return Failure("import-model", FailureKind.UNSUPPORTED, message)
        done = self._run(self._plan(spec, model_format, is_skeleton=is_skeleton))
        if isinstance(done, Failure):
            return done
        lineage, spent = done
        last = lineage[-1]
        if self.store.get(last.output) is None:
            return Failure(last.stage, FailureKind.INVALID, "its output left the store")
        return Built(last.output, tuple(lineage), spent)

    def train(self, spec: BuildSpec, until: str) -> Training | Failure:
        """Run a build's stages up to a training stage, and return the quality reached."""
        steps = self._plan(spec)
        last = [stage for stage, _ in steps].index(until)
        done = self._run(steps[: last + 1])
        if isinstance(done, Failure):
            return done
        return Training(qualities(done[0]), done[1], losses(done[0]))

    def missing(self, spec: BuildSpec, model_format: str = "onnx") -> list[str]:
        """Return the names of the stages that a build would have to run."""
        steps = self._plan(spec, model_format)
        return [stage for stage, _ in steps[len(self._done(self._keys.of(steps))) :]]

    @property
    def recipe(self) -> Recipe:
        """How the workload trains."""
        return self.loaded.workload.recipe()

    def _plan(
        self, spec: BuildSpec, model_format: str = "onnx", *, is_skeleton: bool = False
    ) -> list[Step]:
        is_file = self.loaded.model_file is not None
        steps = plan(
            spec,
            self.recipe,
            model_format,
            is_skeleton=is_skeleton,
            is_file=is_file,
            origin=self.loaded.origin(spec.student),
        )
        return [(stage, {**params, **self._fixed(stage)}) for stage, params in steps]

    def _fixed(self, stage: str) -> dict[str, Any]:
        """Return what a stage reads of the user's wishes for every build: part of its key."""
        layout = self.loaded.layout
        found: dict[str, Any] = {}
        if stage == "import-model" and layout.shapes:
            found["shapes"] = layout.fixed_sizes
        if stage == "quantize" and layout.constants:
            found["constants"] = {name: each.value for name, each in layout.constants.items()}
        if stage == "quantize" and (names := self.loaded.workload.keep_fp32()):
            found["keep_fp32"] = list(names)
        return found

    def _run(self, steps: Sequence[Step]) -> tuple[list[StageRecord], dict[str, float]] | Failure:
        """Run the stages that the store does not hold; return records and seconds spent."""
        keys = self._keys.of(steps)
        lineage = self._done(keys)
        spent: dict[str, float] = {}
        while len(lineage) < len(steps):
            (stage, params), key = steps[len(lineage)], keys[len(lineage)]
            with self.store.claim(key.key):
                # Another worker may have run it while this one waited.
                record = self._find(key, lineage)
                if record is None or self.store.get(record.output) is None:
                    if lineage and self.store.get(lineage[-1].output) is None:
                        # It is damaged, or was removed: it is made again first.
                        lineage = self._done(keys[: len(lineage)])
                        continue
                    outcome = self._execute(key, params, lineage)
                    if isinstance(outcome, Failure):
                        return outcome
                    record = outcome
                    spent[stage] = spent.get(stage, 0.0) + record.seconds
            lineage.append(record)
        return lineage, spent

    def _done(self, keys: Sequence[StageKey]) -> list[StageRecord]:
        """Return the records of the stages that need not run, up to the last complete output.

        Outputs before that one may have left the store: nothing needs them.
        """
        known: list[StageRecord] = []
        for key in keys:
            record = self._find(key, known)
            if record is None:
                break
            known.append(record)
        while known and self.store.get(known[-1].output) is None:
            known.pop()
        return known

    def _find(self, key: StageKey, lineage: Sequence[StageRecord]) -> StageRecord | None:
        """Return the record of a stage, even if its output is gone.

        Where none has the stage's key, that of an execution which started from the same content
        counts, and is kept under the key as well.
        """
        record = self.store.note(key.key)
        if record is None and lineage:
            same = self.store.same(key.from_content(lineage[-1].output, lineage[0].output))
            if same is not None and self.store.get(same.output) is not None:
                record = replace(same, key=key.key, parent=lineage[-1].output)
                self.store.commit(record)
        return record

    def _execute(
        self, key: StageKey, params: Mapping[str, Any], lineage: Sequence[StageRecord]
    ) -> StageRecord | Failure:
        stage, parent = key.stage, lineage[-1].output if lineage else None
        self.announce(stage)
        self.store.log("started", stage, key.key)
        started = time.perf_counter()
        with self.store.scratch() as folder:
            try:
                output = run_stage(
                    stage,
                    StageInput(
                        loaded=self.loaded,
                        parent=self.store.get(parent) if parent else None,
                        params=params,
                        folder=folder,
                        teacher=lambda: self._teacher_of(lineage[0].output),
                    ),
                )
            except StageError as error:
                return Failure(stage, error.kind, str(error))
            except MemoryError as error:
                return Failure(stage, FailureKind.OUT_OF_MEMORY, str(error) or "out of memory")
            except ParetuneError:
                raise
            except (Exception, SystemExit) as error:
                _raise_if_systematic(stage, error)
                traceback.print_exc()
                # CUDA's own memory error derives from RuntimeError, and torch names it so.
                kind = FailureKind.CRASH
                if type(error).__name__ == "OutOfMemoryError" or _NO_MEMORY in str(error):
                    kind = FailureKind.OUT_OF_MEMORY
                where = line_in(self.loaded.path, error)
                return Failure(stage, kind, f"{where}{type(error).__name__}: {error}")
            record = StageRecord(
                stage=stage,
                key=key.key,
                params=dict(params),
                parent=parent,
                output=self._keep(stage, params, output.path),
                seconds=time.perf_counter() - started,
                metrics=dict(output.metrics),
                train_losses=list(output.train_losses),
                notes=list(output.notes),
            )
        same = key.from_content(parent, lineage[0].output) if parent else None
        self.store.commit(record, same)
        self.store.log("finished", stage, key.key)
        return record

    def _keep(self, stage: str, params: Mapping[str, Any], path: Path) -> str:
        """Put a stage's output into the store and return its digest."""
        made = format_made(stage, params)
        if made is None:
            return self.store.put(path)
        precision = params.get("quantization", "fp32")
        artifact = Artifact.of(made.files_of(path), made.name, precision, made.says_of(path))
        return self.store.put_artifact(artifact, path.parent)

    def _teacher_of(self, reference: str) -> Teacher:
        """Return the reference as a teacher, which lives as long as this process."""
        from paretune.runners.build.checkpoint import load_checkpoint
        from paretune.runners.workload.learning.teacher import Teacher

        if self._teacher is None or self._teacher[0] != reference:
            path = self.store.get(reference)
            if path is None:
                raise StageError(FailureKind.INVALID, "the reference's weights left the store")
            model, _, _ = load_checkpoint(self.loaded, path)
            self._teacher = reference, Teacher(model)
        return self._teacher[1]


def _raise_if_systematic(stage: str, error: BaseException) -> None:
    """Raise errors that every other candidate would meet: they say nothing about this one.

    Raises:
        StoreError: If the disk is full or cannot be written.
        WorkloadError: If a package is missing.
    """
    # Libraries that write files raise errors of their own, with the system's words.
    if any(os.strerror(code) in str(error) for code in _OF_THE_DISK):
        raise StoreError(
            f"{stage}: {error}; free some space on the disk, or make it writable; then run the "
            "same command again, which continues"
        ) from error
    if isinstance(error, ImportError):
        raise WorkloadError(
            f"{stage}: {error}; install the missing package; then run the same command again, "
            "which continues"
        ) from error
