"""A bundle's samples as requests to a service, and the answers that they must get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.onnx_files.layout import Axis, Layout, unplaced
from paretune.search.deliver.bundle_folder import input_files, output_files
from paretune.search.deliver.live.service import Service
from paretune.spaces import StudyError


@dataclass(frozen=True)
class BundleRequests:
    """The samples of a bundle, ready to be sent.

    Attributes:
        input_names: The model's inputs in order, constants included.
        layout: Where samples are in them.
        arrays: Samples of each input that holds some; the first axis is the sample.
        outputs: The names of the outputs to compare, each with its batch axis.
        expected: The answers of each; the first axis is the sample.
        batch_size: Samples of a call, as measured.
        fixed_batch: The only size that the model takes; ``None`` if it takes any.
    """

    input_names: tuple[str, ...]
    layout: Layout
    arrays: tuple[NDArray[Any], ...]
    outputs: Mapping[str, Axis]
    expected: tuple[NDArray[Any], ...]
    batch_size: int
    fixed_batch: int | None = None

    @classmethod
    def of(cls, folder: Path, manifest: Mapping[str, Any]) -> BundleRequests:
        """Return the requests of a bundle.

        Raises:
            StudyError: If the manifest does not name the model's inputs.
        """
        layout = Layout.from_dict(told) if (told := manifest.get("layout")) else Layout()
        model = manifest["model"]
        described = {each["name"]: each["shape"] for each in model.get("inputs", ())}
        names = tuple(described) or (*layout.inputs, *layout.constants)
        if not names:
            raise StudyError(
                f"{folder / 'manifest.json'} does not name the model's inputs, which a service "
                "needs: pick again with this version of Paretune"
            )
        outputs: Mapping[str, Axis] = layout.outputs or {
            each["name"]: 0 for each in model.get("outputs", ())
        }
        arrays = tuple(map(np.load, input_files(folder, len([*folder.glob("inputs*.npy")]))))
        expected = tuple(map(np.load, output_files(folder, len([*folder.glob("outputs*.npy")]))))
        if not outputs:
            outputs = dict.fromkeys(f"output {place}" for place in range(len(expected)))
        axes = layout.inputs or dict.fromkeys((n for n in names if n not in layout.constants), 0)
        sizes: set[Any] = {
            1 if axis is None else described[name][axis]
            for name, axis in axes.items()
            if axis is None or described.get(name)
        }
        fixed = [size for size in sizes if isinstance(size, int) and size > 0]
        batch_size = manifest["run"]["batch_size"]
        return cls(
            names, layout, arrays, outputs, expected, batch_size, fixed[0] if fixed else None
        )

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.arrays[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """Samples of the requests to send: one, and the measured batch, if the model takes both."""
        if self.fixed_batch is not None:
            return (self.fixed_batch,)
        return (1,) if self.batch_size == 1 else (1, self.batch_size)

    def rows(self, size: int) -> list[NDArray[np.intp]]:
        """Return the samples of each request, so that together they hold all.

        The last request is filled up from the start if the model takes one size only; otherwise it
        may be smaller.
        """
        starts = range(0, len(self), size)
        found = [np.arange(start, min(start + size, len(self))) for start in starts]
        if self.fixed_batch is not None:
            found[-1] = np.arange(starts[-1], starts[-1] + size) % len(self)
        return found

    def feed(self, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Return the inputs of a call with some samples by name, constants included."""
        return self.layout.feed(self.input_names, [array[rows] for array in self.arrays])

    def messages(self, service: Service, size: int) -> list[bytes]:
        """Return the encoded requests that have exactly this many samples, at least one."""
        whole = [rows for rows in self.rows(size) if len(rows) == size]
        whole = whole or [np.arange(size) % len(self)]
        return [service.encode(self.feed(rows), self.asked) for rows in whole]

    @property
    def asked(self) -> list[str]:
        """The outputs to ask for by name; empty, which means all, if names are unknown."""
        return [] if any(axis is None for axis in self.outputs.values()) else [*self.outputs]

    def by_sample(self, found: Mapping[str, NDArray[Any]], count: int) -> list[NDArray[Any]]:
        """Return the outputs of an answer in order, with the sample along the first axis.

        Args:
            found: The decoded answer.
            count: How many of its samples count.

        Raises:
            KeyError: If it lacks an output; the text says which it has.
        """
        arrays = []
        only = next(iter(found.values())) if len(found) == len(self.outputs) == 1 else None
        for name, axis in self.outputs.items():
            array = found.get(name, only)
            if array is None:
                raise KeyError(f"the answer has no output {name!r}; it has {', '.join(found)}")
            arrays.append(unplaced(array, axis)[:count])
        return arrays


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the answers to several requests as one array; flat where their shapes differ."""
    is_even = len({part.shape[1:] for part in parts}) == 1
    return np.concatenate(parts if is_even else [part.ravel() for part in parts])
