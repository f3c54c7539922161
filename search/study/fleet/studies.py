"""The studies that a host builds for, with their workloads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.held_cores import HeldCores
from paretune.runners.execute.local_executor import LocalExecutor, what_builds_depend_on
from paretune.runners.execute.training_cards import training_cards
from paretune.runners.failure import Failure
from paretune.runners.fleet.assignment import Assignment, on_this_machine
from paretune.runners.fleet.device.measuring_studies import refuse_new_versions
from paretune.runners.fleet.device.outputs_file import unpacked
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import WorkloadError


@dataclass(frozen=True)
class _Opened:
    """A study on this host.

    Attributes:
        pool: Builds.
        judge: A worker that judges and never builds: no judgement waits for a training.
        judging: Held while it judges.
        building: Digest of what builds depend on here.
    """

    pool: BuildPool
    judge: BuildWorker
    judging: threading.Lock
    building: str

    def judged(
        self, outputs: Path, samples: StoredSamples, names: Sequence[str], resamples: int
    ) -> Judged | Failure:
        """Return what the metrics say about outputs in a folder; for any thread."""
        with self.judging:
            return self.judge.judge(outputs, samples, names, resamples)


class Studies:
    """The studies that a host works for, opened when their first job comes.

    Args:
        name: The host's name, which is part of its logs' names.
        builds: How many builds run at once.
        measures: Whether this host measures, too.
    """

    def __init__(self, name: str, builds: int, *, measures: bool = False) -> None:
        self._name = name
        self._builds = builds
        self._measures = measures
        self._open: dict[Path, _Opened] = {}
        self._opening = threading.Lock()
        self._owning = ExitStack()
        self._cores = HeldCores()

    def executor(self, assignment: Assignment) -> LocalExecutor:
        """Return an executor that does a study's jobs.

        Raises:
            StoreError: If the study file, or the folder of its store, is not on this machine.
            StudyError: If this host measures, and a runtime has another version than when the
                search started.
            WorkloadError: If the workload here is not that of the search, or another release of
                Paretune would build it.
        """
        opened = self._opened(assignment)
        if self._measures:
            refuse_new_versions(assignment, self._name)
        evaluator = assignment.evaluator(opened.judged, measures=self._measures)
        return LocalExecutor(opened.pool, evaluator)

    def judge(
        self,
        assignment: Assignment,
        outputs: str,
        samples: StoredSamples,
        names: Sequence[str],
        resamples: int,
    ) -> Judged | Failure:
        """Judge outputs that another host computed (see :data:`Judging`); for any thread.

        Raises:
            StoreError: If the outputs are not in the store, or the study is not on this machine.
            WorkloadError: If the workload here is not that of the search.
        """
        opened = self._opened(assignment)
        with unpacked(outputs, assignment.opened_store()) as folder:
            return opened.judged(folder, samples, names, resamples)

    def _opened(self, assignment: Assignment) -> _Opened:
        file = on_this_machine(assignment.study)
        with self._opening:
            if file not in self._open:
                self._open[file] = self._open_study(file)
        opened = self._open[file]
        if opened.building != assignment.building:
            raise WorkloadError(
                f"the host {self._name} has another workload than this search: the code, the data "
                f"or the packages of {file} differ there, or Paretune's version does. Make them "
                "equal, then start the host again"
            )
        return opened

    def _open_study(self, file: Path) -> _Opened:
        study = OpenStudy(file)
        worker = worker_settings(study)
        log = worker.log.with_stem(f"{worker.log.stem}-{self._name}")
        pool = BuildPool(
            replace(worker, log=log),
            self._builds,
            training_cards(),
            judges=self._builds > 1,
            cores=self._cores,
        )
        with ExitStack() as opening:
            opening.enter_context(pool)
            fingerprint = pool.describe().fingerprint
            self._owning.push(opening.pop_all())
        judge = pool.service
        if self._builds == 1:  # then the pool's service builds as well
            judge = BuildWorker(replace(worker, log=log.with_stem(f"{log.stem}-judge")))
            judge.fingerprint = fingerprint
            self._owning.enter_context(judge)
        return _Opened(pool, judge, threading.Lock(), what_builds_depend_on(fingerprint))

    def close(self) -> None:
        """End the build workers."""
        self._owning.close()
