"""A first loss of the reference, before any trial: mistakes that every training would meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from paretune.runners.workload.data import Split, first_batch
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.protocol import Workload
from paretune.spaces import REFERENCE, WorkloadError

_SAMPLES = 2
"""Samples of the first pass: batch normalization takes no single one."""


def check_first_loss(loaded: LoadedWorkload) -> None:
    """Compute the loss of two samples, if the reference is trained by the recipe.

    Raises:
        WorkloadError: If the model cannot be trained on the data's targets.
    """
    import torch

    from paretune.runners.workload.learning.forward import forward, on_device
    from paretune.runners.workload.learning.losses import class_logits
    from paretune.runners.workload.outputs import only_or_all

    if loaded.model_file is not None or not _is_trained_by_default(loaded):
        return
    workload, cpu = loaded.workload, torch.device("cpu")
    batch = first_batch(loaded.data.train, _SAMPLES)
    with torch.no_grad():
        model = loaded.build_model(REFERENCE).eval()
        outputs = only_or_all(forward(model, on_device(dict(batch.inputs), cpu)))
    targets = on_device(batch.targets, cpu)
    if type(workload).loss is Workload.loss:
        logits, _ = class_logits(outputs, targets)
        _check_classes(loaded, logits.shape[1])
    loss = workload.loss(outputs, targets, None)
    if not (isinstance(loss, torch.Tensor) and loss.numel() == 1):
        raise WorkloadError(f"loss() must return a tensor of one number; got {loss!r}")


def _is_trained_by_default(loaded: LoadedWorkload) -> bool:
    """Tell whether the reference is trained by this package's loop."""
    kind: Any = type(loaded.workload)
    return (
        loaded.origin(REFERENCE) != "trained"
        and kind.train_reference is Workload.train_reference
        and kind.train is Workload.train
    )


def _check_classes(loaded: LoadedWorkload, classes: int) -> None:
    """Check that the train split's labels are classes from 0 on.

    Raises:
        WorkloadError: If one is not.
    """
    split, ignored = loaded.data.train, loaded.workload.recipe().ignored_target
    targets = split.targets if isinstance(split, Split) else None
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        return
    counted = targets[targets != ignored]
    if counted.size == 0:
        return
    low, high = int(counted.min()), int(counted.max())
    if low < 0 or high >= classes:
        raise WorkloadError(
            f"labels must be classes from 0 to {classes - 1}, because the model has {classes} "
            f"outputs; the train split has labels from {low} to {high}: number them from 0 in "
            "data(), and set Recipe(ignored_target=…) for one that does not count"
        )
