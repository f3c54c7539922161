"""The same as the command line, one short call each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runners.store import ArtifactStore
from search.bundle import write_bundle
from search.choice import Wish, choose
from search.config import StudyPaths
from search.console import ConsoleReporter
from search.history import History
from search.loop import Reporter, SearchResult
from search.study import confirm_study, load_history, run_study
from search.study_file import read_study_file
from search.study_parts import study_runner
from search.trial import TrialRecord


@dataclass(frozen=True)
class Pick:
    """A picked point.

    Attributes:
        record: The trial.
        history: The study it was picked from.
        manifest: Path of the manifest that was written, or ``None``.
    """

    record: TrialRecord
    history: History
    manifest: Path | None


def run(
    study: str | Path,
    *,
    trials: int | None = None,
    hours: float | None = None,
    reporter: Reporter | None = None,
) -> SearchResult:
    """Run a study, or continue it, until its budget is spent.

    Args:
        study: The study file.
        trials: Trials in the whole study, instead of the study file's ``budget.trials``.
        hours: Wall-clock hours of this search, instead of ``budget.hours``.
        reporter: Told about progress; by default it is printed.

    Raises:
        ParetuneError: See :func:`search.study.run_study`.
    """
    return run_study(Path(study), reporter or ConsoleReporter(), trials, hours)


def confirm(
    study: str | Path, *, hours: float | None = None, reporter: Reporter | None = None
) -> History:
    """Measure the plausible frontier of a study again, and publish what comes of it.

    Args:
        study: The study file.
        hours: Wall-clock hours it may take; as long as it needs by default.
        reporter: Told about progress; by default it is printed.

    Raises:
        ParetuneError: See :func:`search.study.confirm_study`.
    """
    return confirm_study(Path(study), reporter or ConsoleReporter(), hours)


def status(study: str | Path) -> History:
    """Return the history of a study: its trials, failures and frontier."""
    return load_history(Path(study))


def frontier(study: str | Path) -> list[TrialRecord]:
    """Return the non-dominated trials of a study, the first objective's best first."""
    return load_history(Path(study)).frontier


def pick(
    study: str | Path,
    *,
    max_latency_ms: float | None = None,
    percentile: str = "p95",
    min_quality: float | None = None,
    batch_size: int | None = None,
    out: str | Path | None = None,
) -> Pick:
    """Return the most accurate point that keeps a budget, and write it to a folder.

    Args:
        study: The study file.
        max_latency_ms: Latency budget of one call.
        percentile: Which latency it is about: ``p50``, ``p90``, ``p95`` or ``p99``.
        min_quality: Lowest quality accepted.
        batch_size: Only points with this batch size.
        out: Folder for ``model.onnx`` and ``manifest.json``; nothing is written without it.

    Raises:
        StudyError: If nothing fits, with what to relax.
    """
    path = Path(study)
    history = load_history(path)
    record = choose(history, Wish(max_latency_ms, percentile, min_quality, batch_size))
    if out is None:
        return Pick(record, history, None)
    config = read_study_file(path)
    paths = StudyPaths(config, path)
    store = ArtifactStore(paths.store)
    runner = study_runner(config, paths.folder, record.candidate.run.runner)
    return Pick(
        record, history, write_bundle(record, history, store, Path(out), config.name, runner)
    )
