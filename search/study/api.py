"""The commands as Python functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.runners.workload.onnx_files.input_settings import InputSettings
from paretune.search.configure.study_of_onnx import write_onnx_study
from paretune.search.deliver.picked import Pick
from paretune.search.deliver.report.html_report import write_report
from paretune.search.deliver.report.layers import Layers
from paretune.search.deliver.verification import Verification
from paretune.search.deliver.verification import verify as verify_bundle
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint
from paretune.search.record.wish import Preference, Wish
from paretune.search.review.row_list import FrontierRows
from paretune.search.review.terminal.reporters import reporting
from paretune.search.run.reporter import Reporter
from paretune.search.run.search_result import SearchResult
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.study.again.remeasuring import search_again
from paretune.search.study.confirming import confirm_study
from paretune.search.study.doctor import Check, examine
from paretune.search.study.executing import fleet_of
from paretune.search.study.mlflow_study import open_tracking
from paretune.search.study.open_study import OpenStudy, load_history
from paretune.search.study.picking import pick_point
from paretune.search.study.running import run_study
from paretune.spaces import StudyError


def run(
    study: str | Path,
    *,
    trials: int | None = None,
    hours: float | None = None,
    max_latency_ms: float | None = None,
    percentile: str | None = None,
    min_quality: float | None = None,
    max_quality_drop: float | None = None,
    batch_size: int | None = None,
    scheduler: str | None = None,
    device: str | None = None,
    join: bool = False,
    again: bool = False,
    reporter: Reporter | None = None,
) -> SearchResult:
    """Run a study, or continue it, until its budget is spent.

    The wish (what you want to pick, see :func:`pick`) steers the search and forbids nothing;
    missing values come from the study file's ``wish``.

    Args:
        study: The study file.
        trials: Trials in the whole study, instead of the study file's ``budget.trials``.
        hours: Wall-clock hours of this search, instead of ``budget.hours``.
        max_latency_ms: Latency budget per call, in milliseconds.
        percentile: Which latency it is about: ``p50``, ``p90``, ``p95`` or ``p99``.
        min_quality: Minimum quality.
        max_quality_drop: Maximum loss of quality against the baseline, in the quality's unit.
        batch_size: The batch size that will be used.
        scheduler: Address of a fleet's scheduler, whose hosts build and measure; by default this
            machine does both.
        device: The fleet's device to measure on, if it has several.
        join: Help a search of this study that runs already, on this host or another; without one,
            begin it. Needs a ``storage`` on PostgreSQL.
        again: Measure the published frontier again, and search only if it moved.
        reporter: Told about progress; by default it is printed.

    Raises:
        ParetuneError: See :func:`run_study` and :func:`search_again`.
    """
    told = {
        "max_latency_ms": max_latency_ms,
        "percentile": percentile,
        "min_quality": min_quality,
        "max_quality_drop": max_quality_drop,
        "batch_size": batch_size,
    }
    wish = {name: value for name, value in told.items() if value is not None}
    with fleet_of(Path(study), scheduler, device) as fleet, reporting(reporter) as told_to:
        if again:
            return search_again(Path(study), told_to, trials, hours, wish, fleet)
        return run_study(Path(study), told_to, trials, hours, wish, fleet, joins=join)


def onnx_study(
    model: str | Path,
    data: str | Path,
    *,
    labels: str | None = None,
    metric: str | None = None,
    outputs: Sequence[str] | None = None,
    constants: Mapping[str, Any] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    folder: str | Path | None = None,
) -> Path:
    """Write a study of an ONNX file for :func:`run`; return its study file.

    Args:
        model: The ONNX file.
        data: Samples (see :class:`paretune.OnnxWorkload`).
        labels: The labels: name of an array in the samples' file, or a file.
        metric: ``accuracy``, ``f1``, ``mse``, ``cosine`` … (docs/data.md), or ``FILE.py:NAME``.
        outputs: Names of the outputs that are judged; all by default.
        constants: Inputs that are the same in every call, by name.
        batch_axes: The batch axis of inputs and outputs where it is not the first, by name.
        shapes: Sizes of inputs with free dimensions, by name.
        folder: Where to write; ``MODEL-study`` in the current folder by default.

    Raises:
        ParetuneError: If a file is missing, or the folder holds another study.
    """
    where = None if folder is None else Path(folder)
    settings = InputSettings(constants or {}, batch_axes or {}, shapes or {})
    return write_onnx_study(
        Path(model),
        Path(data),
        labels=labels,
        metric=metric,
        outputs=outputs,
        settings=settings,
        folder=where,
    )


def confirm(
    study: str | Path,
    *,
    hours: float | None = None,
    scheduler: str | None = None,
    device: str | None = None,
    reporter: Reporter | None = None,
) -> History:
    """Measure the plausible frontier of a study again, and publish the result.

    Args:
        study: The study file.
        hours: Wall-clock hours it may take; as long as it needs by default.
        scheduler: Address of a fleet's scheduler, whose hosts measure; by default this machine.
        device: The fleet's device to measure on, if it has several.
        reporter: Told about progress; by default it is printed.

    Raises:
        ParetuneError: See :func:`confirm_study`.
    """
    with fleet_of(Path(study), scheduler, device) as fleet, reporting(reporter) as told_to:
        return confirm_study(Path(study), told_to, hours, fleet)


def status(study: str | Path) -> History:
    """Return the history of a study: its trials, failures and frontier."""
    return load_history(Path(study))


def published_before(study: str | Path) -> list[ConfirmedPoints]:
    """Return what a study published before what it publishes now, in order of time."""
    opened = OpenStudy(Path(study))
    _ = opened.definition  # of a study that was not started there is nothing to read
    return opened.storage.published_before()


def frontier(study: str | Path, *, searched: bool = False) -> FrontierRows:
    """Return the published frontier of a study: the baseline, then the first objective's best.

    Args:
        study: The study file.
        searched: Return the search's own frontier, with unconfirmed values. It is also returned if
            the study has published nothing yet.

    Returns:
        A sequence of rows, which notebooks show as a table.
    """
    return FrontierRows(load_history(Path(study)), searched=searched)


def verify(
    bundle: str | Path,
    plugins: Sequence[str | Path] = (),
    told: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Check whether a bundle keeps its manifest's promises on this machine.

    Args:
        bundle: The folder that :func:`pick` wrote.
        plugins: Files that register its runtime or format, if they are not where they were.
        told: Given a line before each step that takes seconds; by default nobody is told.

    Raises:
        StudyError: If there is no manifest that this version can read.
    """
    return verify_bundle(Path(bundle), plugins=[Path(file) for file in plugins], told=told)


def sync(study: str | Path) -> History:
    """Bring MLflow up to date with a study's storage; a second call changes nothing.

    Args:
        study: The study file.

    Raises:
        StudyError: If the study was not started or is being searched, or MLflow cannot be used.
    """
    opened = OpenStudy(Path(study))
    _ = opened.definition  # Nothing is written for a study that was not started.
    with opened.owned():
        history = opened.history()
        tracking = open_tracking(opened, history)
        tracking.finish(history, *(opened.storage.ended or ("the search was killed", "KILLED")))
    return history


def doctor(study: str | Path) -> list[Check]:
    """Check everything a study wrote (see :mod:`paretune.search.study.doctor`)."""
    return examine(Path(study))


def report(study: str | Path, out: str | Path) -> None:
    """Write a study as one HTML report that needs no network.

    Args:
        study: The study file.
        out: The HTML file.

    Raises:
        StudyError: If nothing was measured yet.
    """
    opened = OpenStudy(Path(study))
    history = opened.history()
    if not history.measured:
        raise StudyError("nothing was measured yet, so there is nothing to report")
    write_report(history, opened.name, Path(out), str(study), Layers(opened.store))


def pick(
    study: str | Path,
    *,
    max_latency_ms: float | None = None,
    percentile: str = "p95",
    min_quality: float | None = None,
    max_quality_drop: float | None = None,
    batch_size: int | None = None,
    runner: str | None = None,
    limits: Sequence[Constraint] = (),
    prefer: Preference | None = None,
    measure: bool = True,
    out: str | Path | None = None,
    register: str | None = None,
    alias: str | None = None,
    triton: str | Path | None = None,
    targets: Mapping[str, str | Path] | None = None,
    told: Callable[[str], None] | None = None,
) -> Pick:
    """Return the best point that keeps a wish, and write it to a folder.

    Limits on times, rates and sizes are compared with the unfavourable end of the published
    interval, limits on quality with the published value.

    Args:
        study: The study file.
        max_latency_ms: Latency budget of one call.
        percentile: Which latency it is about: ``p50``, ``p90``, ``p95`` or ``p99``.
        min_quality: Minimum quality.
        max_quality_drop: Maximum loss of quality against the baseline.
        batch_size: Only points with this batch size.
        runner: Only points on this runner.
        limits: Limits on other metrics.
        prefer: The quantity to optimize: ``accuracy`` (the workload's quality), ``latency``,
            ``throughput``, ``size`` or ``memory``. By default ``latency`` if only quality is
            limited, else ``accuracy``. Among points that cannot be told apart in it, the fastest is
            taken, or for a preference other than quality, the one with the best quality
            (:class:`Ranking`).
        measure: Whether to measure the point again; if it breaks a limit, the next one is taken.
            Only possible for confirmed studies, on a machine like the one that measured.
        out: Folder for the model file and ``manifest.json``; nothing is written without it.
        register: Name under which to register the model in MLflow's model registry.
        alias: Alias to point at the registered version, such as ``champion``.
        triton: Folder of a Triton model repository to put the model into: short for
            ``targets={"triton": folder}``.
        targets: Folders to write the model to for other uses, by the target's name.
        told: Given a line before each step that takes seconds; by default nobody is told.

    Raises:
        SpaceError: If there is no target of that name.
        StudyError: If nothing fits; the message says what to relax.
    """
    wanted = {**({"triton": triton} if triton is not None else {}), **(targets or {})}
    wish = Wish(
        max_latency_ms,
        percentile,
        max_quality_drop,
        min_quality,
        batch_size,
        runner,
        tuple(limits),
        prefer,
    )
    return pick_point(
        Path(study),
        wish,
        measures=measure,
        out=None if out is None else Path(out),
        register=register,
        alias=alias,
        targets={name: Path(folder) for name, folder in wanted.items()},
        told=told,
    )
