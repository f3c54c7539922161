"""The confirmation of a study: measured again on the test split, and published."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from pathlib import Path

from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.store.use import StoreUse
from paretune.search.confirm.confirmation import Confirmation, Progress
from paretune.search.record.history import History
from paretune.search.record.tracking import Tracking
from paretune.search.review.terminal.best import Best
from paretune.search.run.ending import ending
from paretune.search.run.reporter import Reporter
from paretune.search.run.store_limit import needed_files
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.storage.study_versions import warn_of_new_versions
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.executing import study_executor
from paretune.search.study.mlflow_study import guarded_tracking
from paretune.search.study.open_study import OpenStudy, describe_workload
from paretune.search.study.parts import study_evaluator, study_space
from paretune.search.study.samples import split_samples
from paretune.spaces import StudyError

_LOG = logging.getLogger("paretune")


def confirm_study(
    path: Path, reporter: Reporter, hours: float | None = None, fleet: Fleet | None = None
) -> History:
    """Measure a study's plausible frontier again, and publish the result.

    Args:
        path: The study file.
        reporter: Told about progress.
        hours: Wall-clock hours it may take; as long as it needs by default.
        fleet: The hosts that measure; by default this machine does.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study has no frontier, or is being searched by another process.
    """
    deadline = None if hours is None else time.monotonic() + hours * 3600
    study = OpenStudy(path, describe_workload)
    history = study.history()
    if not history.frontier:
        raise StudyError("the study has no frontier to confirm yet: run `paretune search` first")
    storage = study.storage
    with study.owned(), StoreUse(study.store), BuildPool(worker_settings(study)) as pool:
        history = study.history()  # once more: another process may have searched until now
        reporter.preparing("loading the workload")
        info = pool.describe()
        study.pins.replace(needed_files(history))
        evaluator = study_evaluator(study, pool.service, info, fleet=fleet)
        cores = int(evaluator.machine["cores"]) if fleet else None
        space = study_space(study.config, study.paths.folder, cores=cores)
        warn_of_new_versions(history.measured, evaluator, space)
        tracking = guarded_tracking(study)
        tracking.bring_up_to_date(history)
        progress = storage.while_owned(reporter.confirming)
        confirmation = study_confirmation(study, history, evaluator, pool, progress, fleet)
        storage.begin()
        with ending(storage, tracking, history, "the confirmation is done"):
            confirm_and_publish(study, confirmation, tracking, reporter, deadline)
    return history


def study_confirmation(
    study: OpenStudy,
    history: History,
    evaluator: Evaluator,
    pool: BuildPool,
    progress: Progress,
    fleet: Fleet | None = None,
    only: Collection[int] | None = None,
) -> Confirmation:
    """Return the confirmation of a study, on the test split, with the careful settings.

    Args:
        study: The study.
        history: Its trials.
        evaluator: That of the search.
        pool: Its service has the workload.
        progress: Called for each round.
        fleet: The hosts that measure; by default this machine does.
        only: The trials to measure, instead of all that may be on the frontier.
    """
    samples = split_samples(pool.service, "test", evaluator.samples.pipeline)
    careful = evaluator.on(samples, study.config.confirmation.settings(evaluator.settings))
    executor = study_executor(study, pool, careful, fleet)
    return Confirmation(history, careful, executor, progress, only, Best().update)


def confirm_and_publish(
    study: OpenStudy,
    confirmation: Confirmation,
    tracking: Tracking,
    reporter: Reporter,
    deadline: float | None,
) -> None:
    """Confirm and publish; if interrupted, publish the points so far, to be confirmed again.

    A confirmation that was cut short (by Ctrl-C, by the deadline in the middle of a round, or for
    lack of time for all points) never replaces a more complete one (see
    :meth:`ConfirmedPoints.may_replace`).

    Raises:
        KeyboardInterrupt: Once it is published, if the confirmation was interrupted.
    """
    history, earlier = confirmation.history, study.storage.confirmed()
    study.storage.begin_to_confirm()
    tracking.start("confirming", history)
    if points := confirmation.run(deadline):
        why = f"{confirmation.reason}: " if confirmation.reason else ""
        reporter.preparing(f"{why}publishing the frontier")
        trials = 0 if confirmation.interruption else len(history.records)
        samples = confirmation.evaluator.samples.as_dict()
        found = ConfirmedPoints(points, trials, samples)
        launches = confirmation.evaluator.settings.launches
        is_cut = confirmation.interruption is not None or found.fewest_launches < launches
        is_smaller = confirmation.left_out > 0 and len(points) < len(earlier.points)
        if is_smaller or (is_cut and not found.may_replace(earlier)):
            _LOG.warning(
                "the confirmation was cut short at %s. The earlier one, of %s, is kept. Run "
                "`paretune confirm` again",
                found,
                earlier,
            )
        else:
            history.confirmed = points
            # Before they are published, because another study may remove files once this one has
            # ended.
            study.pins.replace(needed_files(history))
            study.storage.confirm(found)
            tracking.log_confirmed(history)
    if confirmation.interruption:
        raise confirmation.interruption  # as it came: SIGTERM has an exit code of its own
