"""The capacity of a study's point, of a bundle, or of a model file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from paretune.runners.cores import available_cores
from paretune.runners.environment import fingerprint
from paretune.runners.failure import Failure
from paretune.runners.measure.load.arrivals import Arrivals
from paretune.runners.measure.load.served_model import ServedModel
from paretune.runners.measure.model_setup import ModelSetup
from paretune.search.deliver.bundle_folder import model_files
from paretune.search.deliver.bundle_run import (
    bundle_run,
    bundle_runner,
    bundle_samples,
    load_bundle_plugins,
    read_manifest,
)
from paretune.search.deliver.capacity.answer import Capacity
from paretune.search.deliver.capacity.capacity import find_capacity
from paretune.search.deliver.capacity.question import SIZES, CapacityQuestion
from paretune.search.deliver.choice import choose
from paretune.search.record.trial import TrialRecord
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_runner
from paretune.search.study.samples import confirmed_files
from paretune.spaces import StudyError

_STUDY_FILES = (".yaml", ".yml")


def capacity(
    source: str | Path,
    *,
    max_latency_ms: float,
    percentile: str = "p99",
    trial: int | None = None,
    rate_per_s: float | None = None,
    price_per_hour: float | None = None,
    spike: float | None = None,
    arrivals: str | Path | None = None,
    batch_sizes: Sequence[int] = SIZES,
    instances: Sequence[int] = (),
    threads: Sequence[int] = (),
    check: bool = True,
    launches: int = 5,
    seconds: float | None = None,
    seed: int = 0,
    plugins: Sequence[str | Path] = (),
    told: Callable[[str], None] | None = None,
    **setup: Any,
) -> Capacity:
    """Find how many requests per second a model answers within a latency budget.

    A request is one sample; its latency counts from when it was due. Instances × threads × batch
    are timed, a queue model predicts the capacity of each, and the best one is served for real.

    Args:
        source: A bundle's folder, a study file, or a model file. The plan is written into a bundle
            (``serving.json``), where exports and checks find it.
        max_latency_ms: The budget.
        percentile: The percentile of latency that keeps it, such as ``p99``.
        trial: The trial of a study; by default the point that its wish picks.
        rate_per_s: The usual rate of the whole service: how many replicas hold it?
        price_per_hour: What one replica costs.
        spike: How many times the usual rate a burst has: what does it do to latency?
        arrivals: A recorded trace, one time in seconds per row: what does it do to latency?
        batch_sizes: Numbers of requests in a call to try.
        instances: Numbers of instances to try; all that fit by default.
        threads: Numbers of threads to try; all that fit by default.
        check: Whether to serve load for real.
        launches: Fresh processes of each published figure.
        seconds: Seconds of each load that is served; by default as long as 1,500 requests take.
        seed: Of arrivals and simulations.
        plugins: Files that register a bundle's runtime or format, if they are not where they were.
        told: Given lines about progress.
        setup: For a model file: how to run it, as in :func:`paretune.measure`.

    Raises:
        StudyError: If it does not run, or no way to serve it keeps the budget.

    Example:
        >>> found = paretune.capacity("picked", max_latency_ms=20)      # doctest: +SKIP
        >>> found.plan.capacity_per_s                                   # doctest: +SKIP
    """
    path = Path(source)
    question = CapacityQuestion(
        max_latency_ms=max_latency_ms,
        percentile=_number(percentile),
        cores=available_cores(),
        sizes=batch_sizes,
        instances=instances,
        threads=threads,
        rate_per_s=rate_per_s,
        price_per_hour=price_per_hour,
        spike=spike,
        arrivals=None if arrivals is None else Arrivals.recorded(Path(arrivals)),
        checks=check,
        launches=launches,
        seconds=seconds,
        seed=seed,
    )
    if trial is not None and path.suffix not in _STUDY_FILES:
        raise StudyError(f"only a study has trials, and {path} is not a study file: leave --trial")
    with _served(path, trial, max(batch_sizes), plugins, setup) as served:
        with TemporaryDirectory() as name:
            described = served.runner.describe(Path(name))
        if isinstance(described, Failure):
            raise StudyError(f"the runner {served.runner.name} cannot start: {described.message}")
        environment = {**fingerprint(), **described.versions}
        found = find_capacity(served, question, environment, told or (lambda _: None))
    if path.is_dir():
        found.plan.save(path)
    return found


@contextmanager
def _served(
    path: Path, trial: int | None, batch_size: int, plugins: Sequence[str | Path], setup: Any
) -> Iterator[ServedModel]:
    """Yield what a path names."""
    if path.is_dir():
        yield _of_bundle(path, [Path(each) for each in plugins])
    elif path.suffix in _STUDY_FILES:
        yield _of_study(path, trial)
    else:
        with ModelSetup(**setup).ready(path, batch_size) as (runner, run, samples):
            yield ServedModel(runner, path, run, samples)


def _of_bundle(folder: Path, plugins: Sequence[Path]) -> ServedModel:
    manifest = read_manifest(folder)
    load_bundle_plugins(manifest, plugins)
    for file in model_files(folder, manifest):
        if not file.is_file():
            raise StudyError(f"{file} is missing: pick again")
    return ServedModel(
        bundle_runner(manifest),
        folder / manifest["model"]["file"],
        bundle_run(manifest),
        bundle_samples(folder, manifest),
    )


def _of_study(file: Path, trial: int | None) -> ServedModel:
    opened = OpenStudy(file)
    history = opened.history()
    record = choose(history, history.wish) if trial is None else _record(history.records, trial)
    if record.measurement is None:
        raise StudyError(
            f"trial {record.number} has no model that was measured; `paretune frontier {file}` "
            "lists trials that have"
        )
    model = opened.store.get(record.measurement.artifact)
    samples = confirmed_files(opened)
    if samples is None:
        raise StudyError(
            f"the study has no samples yet: run `paretune confirm {file}` first, or pick with --out"
        )
    if model is None:
        raise StudyError(
            f"the file of trial {record.number} is missing or damaged in {opened.store.root}"
        )
    run = record.candidate.run
    return ServedModel(study_runner(opened, run.runner), model, run, samples)


def _record(records: Sequence[TrialRecord], trial: int) -> TrialRecord:
    found = next((record for record in records if record.number == trial), None)
    if found is None:
        raise StudyError(f"there is no trial {trial}; the study has {len(records)} trials")
    return found


def _number(text: str) -> int:
    """Return the number of a percentile such as ``p99``."""
    number = text.removeprefix("p")
    if not number.isdigit():
        raise StudyError(f"a percentile is written like p99; got {text!r}")
    return int(number)
