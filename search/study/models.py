"""Single model files: measured, and compared with each other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, TypeVar

from paretune.runners.failure import Failure
from paretune.runners.measure.comparison import Comparison
from paretune.runners.measure.comparison import compare as compare_models
from paretune.runners.measure.model_report import ModelReport
from paretune.runners.measure.model_report import report as report_model
from paretune.runners.measure.model_setup import ModelSetup
from paretune.runners.runtimes.settings import CAREFUL, MeasurementSettings
from paretune.spaces import RunSpec, StudyError

Result = TypeVar("Result")


def measure(
    model: str | Path, *, batch_size: int = 1, careful: bool = True, **setup: Any
) -> ModelReport:
    """Measure a model file: latency with intervals, throughput, memory, operators, bottleneck.

    Every launch is a fresh process on an idle machine; a launch that something disturbed is
    repeated.

    Args:
        model: The file.
        batch_size: Samples in one call.
        careful: Add launches until the intervals are tight; the search's setting otherwise.
        setup: How it is run; see :class:`~paretune.runners.measure.model_setup.ModelSetup`, such
            as ``threads=2`` or ``data="samples.npz"``.

    Raises:
        StudyError: If it cannot be run, with the reason.
    """
    file, made = Path(model), _setup(setup)
    runner, provider = made.runner()
    run = RunSpec(runner.name, provider, batch_size, made.threads)
    settings = CAREFUL if careful else MeasurementSettings()
    with tempfile.TemporaryDirectory() as folder:
        samples = made.samples(file, batch_size, Path(folder))
        return _told(report_model(runner, file, run, samples, settings))


def compare(
    model: str | Path, other: str | Path, *, batch_size: int = 1, launches: int = 7, **setup: Any
) -> Comparison:
    """Say whether one model file is faster than another, or that it cannot be told.

    Both are timed in turn in the same processes (blocks of ABBA), so that what disturbs one
    disturbs the other.

    Args:
        model: The file to compare with.
        other: The file whose time is divided by that of ``model``.
        batch_size: Samples in one call.
        launches: Fresh processes.
        setup: As for :func:`measure`.

    Raises:
        StudyError: If one of them cannot be run, with the reason.
    """
    file, made = Path(model), _setup(setup)
    runner, provider = made.runner()
    run = RunSpec(runner.name, provider, batch_size, made.threads)
    with tempfile.TemporaryDirectory() as folder:
        samples = made.samples(file, batch_size, Path(folder))
        return _told(compare_models(runner, (file, Path(other)), run, samples, launches=launches))


def _setup(values: dict[str, Any]) -> ModelSetup:
    """Return a setup; paths may be texts."""
    paths = {name: Path(values[name]) for name in ("data", "python") if values.get(name)}
    return ModelSetup(**values | paths)


def _told(outcome: Result | Failure) -> Result:
    if isinstance(outcome, Failure):
        raise StudyError(f"{outcome.stage}: {outcome.message}")
    return outcome
