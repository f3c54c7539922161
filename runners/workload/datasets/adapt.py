"""Data in the form that somebody has it, as the dataset that it is."""

from __future__ import annotations

from typing import Any

from paretune.runners.workload.data import Dataset
from paretune.spaces import WorkloadError


def as_dataset(value: Any, split: str) -> Dataset:
    """Return a split as a dataset; datasets and loaders of other packages are wrapped.

    Args:
        value: A :class:`Split` or another :class:`Dataset`; a ``Dataset`` or ``DataLoader`` of
            PyTorch; or a ``Dataset`` of Hugging Face.
        split: The split's name, for messages.

    Raises:
        WorkloadError: If it is something else, or empty.
    """
    packages = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if "datasets" in packages and hasattr(value, "column_names"):
        from paretune.runners.workload.datasets.hugging_face import HuggingFaceData

        value = HuggingFaceData(value)
    elif "torch" in packages:
        from paretune.runners.workload.datasets.torch_data import TorchData

        value = TorchData(value)
    # Not isinstance(value, Dataset): to look for `digest` would make it.
    methods = (getattr(value, name, None) for name in ("batches", "take", "__len__"))
    if not all(map(callable, methods)):
        raise WorkloadError(
            f"the {split} split must be a paretune.Split, a Dataset or DataLoader of PyTorch, a "
            f"dataset of Hugging Face, or a paretune dataset; got {type(value).__name__}"
        )
    if not len(value):
        raise WorkloadError(f"the {split} split has no sample")
    found: Dataset = value
    return found
