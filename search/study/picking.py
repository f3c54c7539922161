"""Picking: the point that keeps a wish, measured again and written to a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from paretune.runners.failure import Failure
from paretune.runners.measure.measurement import Measurement
from paretune.search.deliver.choice import equals, fitting, rank, wished_limits
from paretune.search.deliver.fresh_check import MOST_TRIED, USUAL_TIME, first_that_keeps
from paretune.search.deliver.picked import Origin, Pick
from paretune.search.deliver.target import TARGETS, ExportSettings
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.study.mlflow_study import register_point
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_runner, study_timer
from paretune.search.study.samples import confirmed_files


def pick_point(
    path: Path,
    wish: Wish,
    *,
    measures: bool = True,
    out: Path | None = None,
    register: str | None = None,
    alias: str | None = None,
    targets: Mapping[str, Path] | None = None,
    told: Callable[[str], None] | None = None,
) -> Pick:
    """Return the best point of a study that keeps a wish, and write it.

    Args:
        path: The study file.
        wish: What is asked of the point.
        measures: Whether to measure it again; if it breaks a limit, the next one is taken.
        out: Folder for the bundle; ``None`` to write none.
        register: Name under which to register the model in MLflow's model registry.
        alias: Alias to point at the registered version.
        targets: Folders to write the model to for other uses, by the target's name.
        told: Given a line before each step that takes seconds.

    Raises:
        SpaceError: If there is no target of that name.
        StudyError: If nothing fits; the message says what to relax.
    """
    told = told or (lambda _: None)
    opened = OpenStudy(path)
    config, history = opened.config, opened.history()
    exporters = {TARGETS.get(name): folder for name, folder in (targets or {}).items()}
    ranked = rank(history, wish, MOST_TRIED)
    record, kept = ranked[0], None
    if measures and history.confirmed and opened.is_of_this_machine:
        limits, timer = wished_limits(history, wish), _telling(study_timer(opened), told)
        kept = first_that_keeps(ranked, limits, timer)
        record = kept.record
    broken = {each.number for each in ranked[: ranked.index(record)]}
    left = [each for each in fitting(history, wish) if each.number not in broken]
    version = None
    if register is not None:
        with opened.owned():
            version = register_point(opened, history, record, register, alias)
    runner_name = record.candidate.run.runner
    entry = config.runners.get(runner_name)
    origin = Origin(
        config.name,
        opened.store,
        partial(study_runner, opened, runner_name),
        (entry and entry.requirements) or (),
        partial(confirmed_files, opened),
        [opened.paths.folder / file for file in config.plugins],
    )
    picked = Pick(
        record,
        history,
        wish,
        tuple(equals(left, history, wish)),
        origin,
        checked=kept.measurement if kept else None,
        rechecks=kept.rechecks if kept else {},
        broken=kept.broken if kept else (),
        version=version,
        tracking_uri=opened.paths.tracking_uri,
    )
    if out is None and not exporters:
        return picked
    told("running the model on samples for the bundle")
    with tempfile.TemporaryDirectory() as aside:
        written = picked.save(out or aside)
        exports = {
            target.name: target.export(
                written.parent, folder, ExportSettings(register or config.name)
            )
            for target, folder in exporters.items()
        }
    return replace(picked, manifest=written if out is not None else None, exports=exports)


def _telling(
    timer: Callable[[TrialRecord], Measurement | Failure], told: Callable[[str], None]
) -> Callable[[TrialRecord], Measurement | Failure]:
    """Return a timer that tells first what it measures."""

    def measure(record: TrialRecord) -> Measurement | Failure:
        told(f"measuring trial {record.number} again: {USUAL_TIME}")
        return timer(record)

    return measure
