"""The bundle: a picked point's model file and the manifest of everything needed to run it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.failure import Failure
from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact import artifact_file, file_digest
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.outputs import whole_outputs
from paretune.search.deliver.bundle_folder import MANIFEST, input_files, output_files, replaced
from paretune.search.deliver.card import write_card
from paretune.search.deliver.choice import baseline
from paretune.search.deliver.recheck import Recheck
from paretune.search.deliver.watch.data_reference import DataReference
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import ANYTHING, Wish
from paretune.spaces import RunSpec, StudyError

MANIFEST_VERSION = 2
"""Raise it when a reader of older manifests would misread a new one."""

_FEWEST_SAMPLES = 64
"""Samples in a bundle for verification, or two full batches if that is more. Chosen by
judgement.
"""

_REFERENCE_SAMPLES = 512
"""Samples that are summarized for the reference of data: shares of a tenth are then known to 1.3
points. Chosen by judgement: the model runs on all of them during a pick.
"""


def write_bundle(
    record: TrialRecord,
    history: History,
    store: ArtifactStore,
    folder: Path,
    study: str,
    runner: ProcessRunner,
    *,
    requirements: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    samples: Samples | None = None,
    rechecks: Mapping[str, Recheck] | None = None,
    wish: Wish = ANYTHING,
) -> Path:
    """Write a trial's model file and the manifest of everything needed to run it as measured.

    Args:
        record: The trial, with the promised values.
        history: Its study.
        store: The store with the file.
        folder: The bundle's folder; created if missing. A bundle in it is replaced.
        study: The study's name.
        runner: The runner of the file.
        requirements: The requirements of the runner's interpreter, if it was made from any.
        plugins: Files that register the runner's runtime or the format, if the study names any.
        samples: Its inputs: some go into the bundle, with the answers, for verification.
        rechecks: The measurement during the pick, compared with the published values, if any.
        wish: What was asked of the pick.

    Returns:
        The manifest's path.

    Raises:
        StudyError: If the file is missing from the store or damaged, or the folder has a foreign
            file in place of one of the bundle's.
    """
    measurement = record.measurement
    if measurement is None:
        raise StudyError(f"trial {record.number} was not measured")
    confirmed = {point.number: point for point in history.confirmed}
    source = store.get(measurement.artifact)
    if source is None:
        raise StudyError(
            f"the file of trial {record.number} ({measurement.artifact[:12]}…) is missing or "
            f"damaged in {store.root}; restore it, or search under a new `name`, which rebuilds "
            "only missing files"
        )
    kept = store.artifact(measurement.artifact)
    made = FORMATS.get(runner.model_format if kept is None else kept.format)
    file, beside, says = made.file, made.files_of(source)[1:], made.says_of(source)
    own_options = says.pop("options", {})
    manifest: dict[str, Any] = {
        "manifest_version": MANIFEST_VERSION,
        "study": study,
        "trial": record.number,
        "candidate": record.candidate.as_dict(),
        "wish": wish.as_dict(),
        "model": {
            "file": file,
            "sha256": file_digest(source),
            "artifact": measurement.artifact,
            "beside": [asdict(artifact_file(path, source.parent)) for path in beside],
            **says,
        },
        "layout": samples.layout.as_dict() if samples is not None else None,
        "lineage": dict(record.lineage),
        "run": {
            "runner": record.candidate.run.runner,
            "runtime": runner.runtime,
            "execution_provider": record.candidate.run.execution_provider,
            "provider_options": runner.options(record.candidate.run) | own_options,
            "python": str(runner.python),
            "requirements": list(requirements),
            **({"plugins": [str(file) for file in plugins]} if plugins else {}),
            "batch_size": record.candidate.run.batch_size,
            "session_options": record.candidate.run.session_options,
            **({"axes": dict(options)} if (options := record.candidate.run.options) else {}),
        },
        "quality": {
            "metric": history.quality_metric,
            "split": "test" if record.number in confirmed else "validation",
            "value": record.metrics[history.quality_metric],
            "batches": "consecutive samples in batches of batch_size, the last one shorter",
        },
        "metrics": {
            name: {
                "value": statistic.value,
                "low": statistic.low,
                "high": statistic.high,
            }
            for name, statistic in measurement.statistics.items()
        },
        "rechecked": {name: each.as_dict() for name, each in (rechecks or {}).items()},
        "baseline": base.metrics if (base := baseline(history)) else None,
        "probability_non_dominated": confirmed[record.number].probability
        if record.number in confirmed
        else None,
        "launches": measurement.launches,
        "providers": {k: asdict(v) for k, v in measurement.providers.items()},
        "environment": dict(measurement.environment),
    }
    with replaced(folder) as aside:
        shutil.copyfile(source, aside / file)
        for path in beside:
            target = aside / path.relative_to(source.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
        if samples is not None:
            _write_samples(aside, aside / file, record.candidate.run, runner, samples)
        write_card(record, history, aside, study, manifest["model"], rechecks or {})
    return folder / MANIFEST


def _write_samples(
    folder: Path, model: Path, run: RunSpec, runner: ProcessRunner, samples: Samples
) -> None:
    """Write some full batches of inputs, the model's answers to them, and the pipeline.

    A summary of more of them is the reference of what inputs and outputs look like.
    """
    count = max(_FEWEST_SAMPLES, 2 * run.batch_size)
    inputs = input_files(folder, len(samples.inputs))
    arrays = [np.load(file, mmap_mode="r") for file in samples.inputs]
    for file, array in zip(inputs, arrays, strict=True):
        np.save(file, array[:count])
    outputs = _answers(model, run, runner, Samples(inputs, layout=samples.layout))
    for file, array in zip(output_files(folder, len(outputs)), outputs, strict=True):
        np.save(file, array)
    rows = min(len(arrays[0]), max(count, _REFERENCE_SAMPLES))
    if rows > count:
        with tempfile.TemporaryDirectory() as name:
            files = input_files(Path(name), len(arrays))
            for file, array in zip(files, arrays, strict=True):
                np.save(file, array[:rows])
            outputs = _answers(model, run, runner, Samples(files, layout=samples.layout))
    # Outputs whose samples' shapes differ are flat, and have no rows.
    judged = [each for each in outputs if len(each) == rows]
    DataReference.of_arrays([array[:rows] for array in arrays], judged).save(folder)
    if samples.pipeline is not None:
        shutil.copyfile(samples.pipeline.file, folder / "pipeline.py")


def _answers(
    model: Path, run: RunSpec, runner: ProcessRunner, samples: Samples
) -> list[NDArray[Any]]:
    """Return the model's outputs for all samples.

    Raises:
        StudyError: If it does not run.
    """
    with tempfile.TemporaryDirectory() as name:
        answers = runner.predict(
            model, run, samples, Path(name), MeasurementSettings(fallback_tolerance=1.0)
        )
        if isinstance(answers, Failure):
            raise StudyError(f"the picked model does not run here: {answers.message}")
        return whole_outputs(answers.outputs)
