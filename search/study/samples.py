"""The samples of a study: those of its search, and those of its confirmation."""

from __future__ import annotations

from dataclasses import replace

from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.measure.stored_samples import StoredPipeline, StoredSamples
from paretune.runners.runtimes.runner import Samples
from paretune.search.study.open_study import OpenStudy


def split_samples(
    worker: BuildWorker,
    split: str,
    pipeline: StoredPipeline | None = None,
    most: int | None = None,
) -> StoredSamples:
    """Put a split's samples into the store, and its requests if the model has a pipeline.

    Args:
        worker: Has the workload and writes to the store.
        split: ``validation`` or ``test``.
        pipeline: The pipeline, with the requests of any split.
        most: How many of the samples, drawn over the whole split; all of them by default.
    """
    samples = worker.put_samples(split, most)
    if pipeline is not None:
        pipeline = replace(pipeline, requests=worker.put_requests(split, most))
    return replace(samples, pipeline=pipeline)


def confirmed_samples(study: OpenStudy) -> StoredSamples | None:
    """Return the inputs of a study's confirmed points, or ``None`` without a confirmation."""
    known = study.storage.confirmed_on()
    return None if known is None else StoredSamples.from_dict(known)


def confirmed_files(study: OpenStudy) -> Samples | None:
    """Return where the inputs of a study's confirmed points are, or ``None`` without any.

    Raises:
        StoreError: If those files are gone.
    """
    samples = confirmed_samples(study)
    if samples is None:
        return None
    return samples.files(study.store, study.paths.folder)
