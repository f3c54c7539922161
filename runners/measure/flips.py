"""How many of a model's answers flipped: they differ from the baseline's, right or wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import FLIPPED
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.metrics.judge import flipped_share


def with_flips(measurement: Measurement, baseline: str, store: ArtifactStore) -> Measurement:
    """Return a measurement with the share of answers that differ from the baseline's.

    Args:
        measurement: Of a model, with the digest of its answers.
        baseline: Digest of the baseline's on the same split.
        store: Holds them.

    Returns:
        The same measurement if there are no answers, or none any more.
    """
    own, others = _read(measurement.answers, store), _read(baseline, store)
    if own is None or others is None or own.shape != others.shape:
        return measurement
    share = Statistic(flipped_share(own, others))
    return replace(measurement, statistics={**measurement.statistics, FLIPPED: share})


def _read(digest: str, store: ArtifactStore) -> NDArray[Any] | None:
    path = store.get(digest) if digest else None
    if path is None:
        return None
    with np.load(path, allow_pickle=False) as arrays:
        found: NDArray[Any] = arrays["answers"]
    return found
