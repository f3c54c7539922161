"""The data of a workload: four splits that never mix."""

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces import WorkloadError, digest


@dataclass(frozen=True, eq=False)
class Split:
    """Samples and their targets.

    Attributes:
        inputs: Array of shape (samples, ...), with the dtype that the model takes.
        targets: Array of shape (samples,) for classes (integers), or (samples, ...) for values.
    """

    inputs: NDArray[Any]
    targets: NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("inputs", "targets"):
            if not isinstance(getattr(self, name), np.ndarray):
                raise WorkloadError(
                    f"{name} of a split must be a numpy array; got "
                    f"{type(getattr(self, name)).__name__}: convert it with numpy.asarray"
                )
            if getattr(self, name).dtype.hasobject:
                raise WorkloadError(
                    f"{name} of a split must hold numbers; got an array of Python objects: give it "
                    f"a dtype, such as float32 or int64"
                )
        if len(self.inputs) != len(self.targets):
            raise WorkloadError(
                f"a split needs one target a sample; got {len(self.inputs)} inputs and "
                f"{len(self.targets)} targets"
            )
        if len(self.inputs) == 0:
            raise WorkloadError("a split needs at least one sample; got none")
        if self.inputs.dtype == np.float64:
            raise WorkloadError(
                "inputs of a split are float64, and PyTorch models take float32: use "
                ".astype(numpy.float32)"
            )
        if np.issubdtype(self.inputs.dtype, np.floating) and not np.isfinite(self.inputs).all():
            raise WorkloadError("the inputs of a split hold NaN or infinity: clean the data first")

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class Data:
    """The four splits of a workload.

    Attributes:
        train: What students learn from, and pruned models are fine-tuned on.
        calibration: What static quantization takes its ranges from.
        validation: What the search judges candidates by.
        test: What published points are judged by; the search never sees it.
    """

    train: Split
    calibration: Split
    validation: Split
    test: Split

    @property
    def digest(self) -> str:
        """Canonical SHA-256 of every array: dtype, shape and bytes."""
        return digest(
            {
                f"{field.name}.{part}": _array_digest(getattr(getattr(self, field.name), part))
                for field in fields(self)
                for part in ("inputs", "targets")
            }
        )


def _array_digest(array: NDArray[Any]) -> str:
    little_endian = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    head = f"{little_endian.dtype.str} {array.shape}".encode()
    return hashlib.sha256(head + little_endian.tobytes()).hexdigest()
