"""The doctor: checks that everything a study wrote is complete and consistent; changes nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.configure.schema import StudyPaths
from paretune.search.record.history import History
from paretune.search.record.objective import losses
from paretune.search.review.mlflow.audit import disagreements
from paretune.search.storage.lock import exclusive
from paretune.search.storage.study_storage import StudyStorage
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import StudyError

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Check:
    """One check and its result.

    Attributes:
        name: Its subject.
        seen: What was checked, in words.
        problems: The problems found; empty if there are none.
        fix: What to do about them.
    """

    name: str
    seen: str
    problems: Sequence[str] = ()
    fix: str = ""


def examine(path: Path) -> list[Check]:
    """Look at a study's storage, files, processes and MLflow runs.

    While a search is running, only finished work is checked.

    Args:
        path: The study file.

    Raises:
        ConfigError: If the study file has mistakes.
        StudyError: If the study was not started, or its storage does not open.
    """
    study = OpenStudy(path)
    history, storage, store = study.history(), study.storage, study.store
    with ExitStack() as stack:
        busy = None
        try:
            stack.enter_context(exclusive(study.paths.lock))
        except StudyError as error:
            busy = str(error)
        if busy is None and (owner := storage.owner) is not None:
            busy = f"it belongs to {owner}; a search finds out whether that is still alive"
        checks = [
            _trials(storage, history),
            _duplicates(history),
            _frontier(history),
            _published(history),
            _files(history, store, may_be_gone=study.config.budget.store_gb is not None),
            _store(store),
        ]
        if busy is not None:
            return [*checks, Check("in flight", f"not checked: {busy}")]
        return [
            *checks,
            _leftovers(study),
            _mlflow(study, history),
        ]


def _trials(storage: StudyStorage, history: History) -> Check:
    return Check(
        "trials",
        f"{len(history.records)} finished, each with its record",
        storage.torn(),
        "copy the storage, then search under a new `name`: its builds are reused",
    )


def _duplicates(history: History) -> Check:
    counts = Counter(record.candidate for record in history.records)
    return Check(
        "duplicates",
        "no candidate was tried twice",
        [f"{candidate.label}: {count} trials" for candidate, count in counts.items() if count > 1],
        "the repeated trials cost time and do no other harm; please report how this happened",
    )


def _frontier(history: History) -> Check:
    """Compare the frontier with one found by brute force: every feasible trial against all."""
    records = [r for r in history.records if r.measurement and history.is_feasible(r)]
    points = losses([record.metrics for record in records], history.objectives)
    best = {
        record.number
        for record, point in zip(records, points, strict=True)
        if not ((points <= point).all(axis=1) & (points < point).any(axis=1)).any()
    }
    kept = {record.number for record in history.frontier}
    wrong = [f"trial {number} is dominated" for number in sorted(kept - best)]
    wrong += [f"trial {number} is missing" for number in sorted(best - kept)]
    return Check(
        "frontier",
        f"{len(history.frontier)} points, the same by brute force",
        wrong,
        "please report it: the frontier is computed from the trials at every start",
    )


def _published(history: History) -> Check:
    """Check the published points against all confirmed ones, by the published values alone."""
    problems = []
    feasible = [point for point in history.confirmed if history.is_feasible(point)]
    points = losses([point.metrics for point in feasible], history.objectives)
    for point, own in zip(feasible, points, strict=True):
        beats = (points <= own).all(axis=1) & (points < own).any(axis=1)
        better = [other for other, beat in zip(feasible, beats, strict=True) if beat]
        if point.is_published:
            problems += [
                f"trial {point.number} is published, and trial {other.number} dominates it"
                for other in better
                if other.same_as != point.number
            ]
        elif not better and point.same_as is None and not point.why_not:
            problems.append(f"nothing dominates trial {point.number}, but it is not published")
    rows = {point.number for point in history.published}
    problems += [
        f"trial {point.number} is a tie of trial {point.same_as}, which is not published"
        for point in history.confirmed
        if point.same_as is not None and point.same_as not in rows
    ]
    return Check(
        "published",
        f"{len(rows)} of {len(history.confirmed)} confirmed points; none is dominated, and every "
        f"other point has a reason",
        problems,
        "run `paretune confirm`: it measures and publishes again (older versions had another rule)",
    )


def _files(history: History, store: ArtifactStore, *, may_be_gone: bool) -> Check:
    problems, looked_at = [], 0
    needed = {record.number for record in history.frontier}
    needed |= {point.number for point in history.published}
    for record in history.measured:
        if record.measurement is None:
            continue
        looked_at += 1
        state = store.state(record.measurement.artifact)
        if state == "damaged" or (
            state == "missing" and (record.number in needed or not may_be_gone)
        ):
            problems.append(f"the model of trial {record.number} is {state}")
        if (state := store.state(record.measurement.samples)) != "whole":
            problems.append(f"the timed calls of trial {record.number} are {state}")
    return Check(
        "files",
        f"{looked_at} measured trials, each with its model and its timed calls",
        problems,
        "restore the store's folder from a copy, or search under a new `name`, which builds only "
        "missing files",
    )


def _store(store: ArtifactStore) -> Check:
    names = store.names_here()
    return Check(
        "store",
        f"{len(names)} artifacts and files, each with the content of its name",
        [f"{name} is damaged" for name in names if store.state(name) == "damaged"],
        "nothing to do: a damaged file is removed and made again when it is needed next",
    )


def _leftovers(study: OpenStudy) -> Check:
    store, paths = study.store, study.paths
    problems = [f"{folder} was left by a killed process" for folder in store.leftovers()]
    problems += [f"process {p.pid} is still running: {_command(p)}" for p in _orphans(paths)]
    aside = [f for pattern in ("tmp*", "*.tmp", "*.new") for f in paths.output.glob(pattern)]
    problems += [f"{path} was left by a killed process" for path in aside]
    return Check(
        "processes",
        "no search is running; no process, folder or temporary file was left behind",
        problems,
        "end these processes (kill PID); the next search removes the folders",
    )


def _orphans(paths: StudyPaths) -> Iterator[psutil.Process]:
    """Yield processes that use the study's store although no search is running.

    A store elsewhere may be in use by other studies; the logs are the study's own.
    """
    own = str(paths.store if paths.store.is_relative_to(paths.output) else paths.logs)
    for process in psutil.process_iter():
        if process.pid in (os.getpid(), os.getppid()):
            continue
        try:
            in_use = [*process.cmdline(), *(file.path for file in process.open_files())]
        except psutil.Error:
            continue
        if any(name.startswith(own) for name in in_use):
            yield process


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "it has just ended"


def _mlflow(study: OpenStudy, history: History) -> Check:
    paths, ended = study.paths, study.storage.ended
    fix = f"run `paretune sync {paths.study_file}`"
    if not study.config.tracking:
        return Check("mlflow", "the study has `tracking: false`")
    uri = paths.tracking_uri
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        return Check("mlflow", "", [f"there is no {uri.removeprefix(_SQLITE)}"], fix)
    try:
        local = paths.artifacts if uri.startswith(_SQLITE) else None
        problems = disagreements(uri, study.name, study.definition, history, ended, local)
    except Exception as error:  # MLflow's clients raise many types
        problems = [f"MLflow at {uri} does not answer: {error}"]
        fix = f"start the server, then {fix}"
    return Check("mlflow", f"{len(history.records)} runs, the same as the storage", problems, fix)
