"""Single model files: measure and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from paretune.runners.failure import Failure
from paretune.runners.measure.comparison import Comparison
from paretune.runners.measure.comparison import compare as compare_models
from paretune.runners.measure.model_report import ModelReport
from paretune.runners.measure.model_report import report as report_model
from paretune.runners.measure.model_setup import ModelSetup
from paretune.runners.runtimes.settings import CAREFUL, MeasurementSettings
from paretune.spaces import StudyError

Result = TypeVar("Result")


def measure(
    model: str | Path, *, batch_size: int = 1, careful: bool = True, **setup: Any
) -> ModelReport:
    """Measure a model file: latency with intervals, throughput, memory, operators, bottleneck.

    Every launch is a fresh process on an idle machine; disturbed launches are repeated.

    Args:
        model: The file.
        batch_size: Samples in one call.
        careful: Whether to add launches until the intervals are tight, or measure as a search does.
        setup: How to run it; see :class:`~paretune.runners.measure.model_setup.ModelSetup`, such as
            ``threads=2`` or ``data="samples.npz"``.

    Raises:
        StudyError: If it cannot run, with the reason.
    """
    file, settings = Path(model), (CAREFUL if careful else MeasurementSettings()).claiming()
    with _setup(setup).ready(file, batch_size) as (runner, run, samples):
        return _told(report_model(runner, file, run, samples, settings))


def compare(
    model: str | Path, other: str | Path, *, batch_size: int = 1, launches: int = 7, **setup: Any
) -> Comparison:
    """Say whether one model file is faster than another, or cannot be told apart from it.

    Both take turns in the same processes (ABBA blocks), so that a disturbance affects both.

    Args:
        model: The file to compare with.
        other: The file whose time is divided by that of ``model``.
        batch_size: Samples in one call.
        launches: Fresh processes.
        setup: As for :func:`measure`.

    Raises:
        StudyError: If one of them cannot run, with the reason.
    """
    models = Path(model), Path(other)
    with _setup(setup).ready(models[0], batch_size) as (runner, run, samples):
        return _told(compare_models(runner, models, run, samples, launches=launches))


def _setup(values: dict[str, Any]) -> ModelSetup:
    """Return a setup; paths may be strings."""
    paths = {name: Path(values[name]) for name in ("data", "python") if values.get(name)}
    return ModelSetup(**values | paths)


def _told(outcome: Result | Failure) -> Result:
    if isinstance(outcome, Failure):
        raise StudyError(f"{outcome.stage}: {outcome.message}")
    return outcome
