"""``search --again``: the published frontier, measured as the machine is now."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.environment import fingerprint
from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.store.use import StoreUse
from paretune.search.confirm.confirmation import Confirmation
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.record.tracking import Tracking
from paretune.search.record.wish import Wish
from paretune.search.run.ending import ending
from paretune.search.run.reporter import Reporter
from paretune.search.run.search_result import SearchResult
from paretune.search.run.store_limit import needed_files
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.storage.study_versions import check_versions
from paretune.search.study.again.comparison import Comparison, Standing, compare
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.confirming import study_confirmation
from paretune.search.study.mlflow_study import guarded_tracking
from paretune.search.study.open_study import OpenStudy, describe_workload
from paretune.search.study.parts import study_evaluator, study_space
from paretune.search.study.running import run_study
from paretune.spaces import StudyError

_FURTHER = 0.25
"""Least number of further trials of a search that goes on because the frontier moved, as a share of
``budget.trials``. Chosen by judgement: a frontier that moved is still a good start.
"""


def search_again(
    path: Path,
    reporter: Reporter,
    trials: int | None = None,
    hours: float | None = None,
    wish: Mapping[str, Any] | None = None,
    fleet: Fleet | None = None,
) -> SearchResult:
    """Measure a study's published frontier again; search on if it moved (see ``comparison.py``).

    Nothing is built: the files are those of the store. The fresh values are published in place of
    the old ones, which stay in the storage (:meth:`StudyStorage.published_before`).

    Args:
        path: The study file.
        reporter: Told about progress, and what changed.
        trials: Trials in the whole study, if it is searched on; by default those of the budget, and
            at least a quarter of it more than there are.
        hours: Wall-clock hours of everything together.
        wish: Overrides the study file's ``wish``, by attribute of :class:`Wish`.
        fleet: The hosts that measure; by default this machine does.

    Returns:
        The search, if there was one; else the study as it is, with the reason not to search.

    Raises:
        ConfigError: If the study file has mistakes, or the wish does not fit it.
        StudyError: If nothing was published, files are missing, this is another machine, the time
            was too short, another process owns the study, or the frontier moved and the study
            cannot go on because it was measured with other versions.
    """
    deadline = None if hours is None else time.monotonic() + hours * 3600
    study = OpenStudy(path, describe_workload)
    sought = study.config.wish.to_wish(study.config.space.batch_size, wish or {})
    history = _published(study, sought)
    _check_machine(study, fleet)
    with (
        study.owned(),
        StoreUse(study.store),
        _measuring(study, sought, reporter, fleet) as measuring,
    ):
        history, confirmation, tracking = measuring
        before = study.storage.confirmed()
        storage = study.storage
        storage.begin()
        with ending(storage, tracking, history, "the published frontier was measured again"):
            tracking.start("confirming", history)
            now = _complete(confirmation, deadline)
            found = compare(history, now)
            keeps = found.standing is Standing.HOLDS
            kept = [*now, *(_still_valid(before, now, history) if keeps else [])]
            has_moved = found.standing is Standing.MOVED or before.has_moved
            history.confirmed = sorted(kept, key=lambda point: point.number)
            study.pins.replace(needed_files(history))
            storage.confirm(
                ConfirmedPoints(
                    history.confirmed,
                    0 if has_moved else before.trials,
                    confirmation.evaluator.samples.as_dict(),
                    has_moved=has_moved,
                )
            )
            tracking.log_confirmed(history)
        for line in found.lines:
            reporter.noted(line)
        versions = _other_versions(study, confirmation, history, fleet)
    if not has_moved:
        return SearchResult(history, _reason(found), wants_confirmation=True)
    if found.standing is not Standing.MOVED:
        reporter.noted("moved: it had moved before, and the search after that was cut short")
    if versions:
        raise StudyError(
            "the frontier moved, and its new values are published; but the search cannot go on: "
            f"{versions} To search with what is installed now, copy the study file and set another "
            f"`name` and `strategy: {{warm_start: {path.name}}}`. It learns from this study"
        )
    further = math.ceil(_FURTHER * study.config.budget.trials)
    most = trials or max(study.config.budget.trials, len(history.records) + further)
    left = None if deadline is None else max(deadline - time.monotonic(), 1.0) / 3600
    return run_study(path, reporter, most, left, wish, fleet)


def _published(study: OpenStudy, wish: Wish) -> History:
    """Return the study's history with the wish to pick by.

    Raises:
        StudyError: If nothing is published.
    """
    history = study.history()
    history.wish = wish
    if not history.published:
        raise StudyError(
            f"the study {study.name!r} has published nothing yet, so there is nothing to measure "
            "again: run `paretune search` without --again first"
        )
    return history


def _check_machine(study: OpenStudy, fleet: Fleet | None) -> None:
    """Refuse another machine than the one that the published values are of.

    Raises:
        StudyError: If its processor or its number of cores is another.
    """
    known = study.definition.get("machine")
    here = fleet.machine() if fleet else fingerprint()
    if known is None or list(known) == [here["processor"], here["cores"]]:
        return
    raise StudyError(
        "--again shows what changed on one machine, but the published values are from another: "
        f"{known[0]} with {known[1]} cores; this one is {here['processor']} with {here['cores']}. "
        "Run it there. Or search here: copy the study file and set another `name` and `strategy: "
        f"{{warm_start: {study.file.name}}}`; builds are reused"
    )


@contextmanager
def _measuring(
    study: OpenStudy, wish: Wish, reporter: Reporter, fleet: Fleet | None
) -> Iterator[tuple[History, Confirmation, Tracking]]:
    """Yield what measures the published points, their ties and the baseline again.

    Raises:
        StudyError: If a file of one of them is missing: nothing is built here.
    """
    with BuildPool(worker_settings(study)) as pool:
        history = _published(study, wish)  # once more: another process may have searched until now
        wanted = {p.number for p in history.confirmed if p.is_published or p.same_as is not None}
        wanted |= {0}
        missing = [
            point.number
            for point in history.confirmed
            if point.number in wanted and study.store.get(point.measurement.artifact) is None
        ]
        if missing:
            raise StudyError(
                f"the files of the trials {', '.join(map(str, missing))} are missing or damaged in "
                f"{study.store.root}, and --again builds nothing: restore them, or search under a "
                "new `name`, which rebuilds only missing files"
            )
        reporter.preparing("loading the workload")
        info = pool.describe()
        study.pins.replace(needed_files(history))
        evaluator = study_evaluator(study, pool.service, info, fleet=fleet)
        evaluator.settings = evaluator.settings.claiming([wish.latency_metric])
        tracking = guarded_tracking(study)
        tracking.bring_up_to_date(history)
        progress = study.storage.while_owned(reporter.confirming)
        confirmation = study_confirmation(
            study, history, evaluator, pool, progress, fleet, only=wanted
        )
        yield history, confirmation, tracking


def _complete(confirmation: Confirmation, deadline: float | None) -> list[Confirmed]:
    """Return the fresh points of a measurement that was not cut short.

    Raises:
        KeyboardInterrupt: If it was interrupted: nothing is published then.
        StudyError: If the time was too short for all points.
    """
    points = confirmation.run(deadline)
    if confirmation.interruption:
        raise confirmation.interruption
    fewest = min((point.measurement.launches for point in points), default=0)
    if fewest < confirmation.evaluator.settings.launches or confirmation.left_out:
        raise StudyError(
            "the time was too short to measure the published frontier again, so the published "
            "values stay. Give more --hours, or leave --hours out"
        )
    return points


def _still_valid(
    before: ConfirmedPoints, now: list[Confirmed], history: History
) -> list[Confirmed]:
    """Return the earlier points that were not measured again, and still fit beside those that were.

    The frontier holds, so the machine is as it was when they were measured. One that would dominate
    a published point by its old value is left out: the two are not of one campaign.
    """
    numbers = {point.number for point in now}
    published = losses([p.metrics for p in now if p.is_published], history.objectives)
    kept = []
    for point in before.points:
        (own,) = losses([point.metrics], history.objectives)
        beats = (own <= published).all(axis=1) & (own < published).any(axis=1)
        if point.number not in numbers and not np.any(beats):
            kept.append(point)
    return kept


def _other_versions(
    study: OpenStudy, confirmation: Confirmation, history: History, fleet: Fleet | None
) -> str:
    """Return why the study cannot be searched on with the versions of now; empty if it can."""
    evaluator = confirmation.evaluator
    cores = int(evaluator.machine["cores"]) if fleet else None
    space = study_space(study.config, study.paths.folder, cores=cores)
    try:
        check_versions(history.measured, evaluator, space, fleet.device if fleet else None)
    except StudyError as error:
        return f"{error}."
    return ""


def _reason(found: Comparison) -> str:
    if found.standing is Standing.HOLDS:
        return "the published frontier holds, so there is nothing to search"
    return (
        "the published frontier did not move, so there is nothing to search; but values shifted, "
        "and the fresh ones are published. Points beside the frontier are no longer comparable: "
        "`paretune confirm` measures them again"
    )
