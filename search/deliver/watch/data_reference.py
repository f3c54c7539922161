"""The reference of data: what a model's inputs and outputs looked like when it was picked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.search.deliver.bundle_folder import read_versioned

REFERENCE = "reference.json"
"""The bundle's file with the reference of data."""

REFERENCE_VERSION = 1
"""Raise it when a reader of older references would misread a new one."""

_VERSION = "reference_version"

BINS = 10
"""Bins of a number: deciles of the reference, the usual choice for the population stability index.
"""

_MOST_ELEMENTS = 32
"""Elements of a sample up to which each is a feature of its own; larger samples are summarized.
Chosen by judgement.
"""

_MOST_CHANNELS = 4
"""Channels of a picture up to which each has a mean and a deviation. Chosen by judgement."""

_MOST_CLASSES = 1000
"""Columns of an output up to which the largest one is taken for a class: ImageNet's number."""


@dataclass(frozen=True)
class Feature:
    """One quantity of the reference's samples: a number in bins, or a class.

    Attributes:
        edges: Inner edges of the bins of a number, ascending; empty for a class.
        shares: Share of the samples per bin, or per class by its name. They sum to 1.
        mean: Mean of a number.
        std: Standard deviation of a number.
    """

    edges: tuple[float, ...]
    shares: Mapping[str, float]
    mean: float | None = None
    std: float | None = None

    def bin_of(self, value: float | str) -> str:
        """Return the bin of a value: its number, or the class itself, known or not."""
        if self.mean is None:
            return str(value)
        return str(int(np.searchsorted(self.edges, float(value), side="right")))


@dataclass(frozen=True)
class DataReference:
    """What inputs and outputs looked like.

    Attributes:
        samples: Samples that it was made from.
        features: The features by name, such as ``input 0: [3]`` or ``output 0: class``.
    """

    samples: int
    features: Mapping[str, Feature] = field(default_factory=dict)

    @classmethod
    def of_arrays(
        cls, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]
    ) -> DataReference:
        """Return the reference of some samples.

        Args:
            inputs: An array per input of the model; the first axis is the sample.
            outputs: An array per output, of the same samples or of some of them.
        """
        values = features_of(inputs, outputs)
        features = {name: _feature(each) for name, each in values.items() if len(each)}
        return cls(min((len(each) for each in values.values()), default=0), features)

    def save(self, folder: Path) -> Path:
        """Write it into a bundle's folder, and return the file."""
        path = folder / REFERENCE
        values = {_VERSION: REFERENCE_VERSION, **asdict(self)}
        path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        return path

    @classmethod
    def of_bundle(cls, folder: Path) -> DataReference | None:
        """Return a bundle's reference; ``None`` if it has none, as bundles of earlier versions.

        Raises:
            StudyError: If this version cannot read it.
        """
        return read_versioned(
            folder / REFERENCE, _VERSION, REFERENCE_VERSION, cls.from_dict, "pick again"
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataReference:
        """Return the reference from plain values, as :meth:`save` writes them."""
        features = {
            name: Feature(**{**each, "edges": tuple(each["edges"])})
            for name, each in values["features"].items()
        }
        return cls(values["samples"], features)


def features_of(
    inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the features of some samples: an array of values, or of texts for a class, by name.

    A sample of few elements is taken as it is, element by element; a picture by the mean and the
    deviation of each channel; anything else by its mean, its deviation and its share of zeros (the
    padding of a text). An output of several columns is taken by its largest column, as a class, and
    by how large that is.
    """
    found: dict[str, NDArray[Any]] = {}
    for place, array in enumerate(inputs):
        found |= _input_features(f"input {place}", array)
    for place, array in enumerate(outputs):
        found |= _output_features(f"output {place}", array)
    return found


def _input_features(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    if array.dtype.kind not in "biuf" or array.size == 0:
        return {}
    count = len(array)
    numbers = array.reshape(count, -1)
    if numbers.shape[1] <= _MOST_ELEMENTS:
        return {f"{name}: [{k}]": numbers[:, k].astype(np.float64) for k in range(numbers.shape[1])}
    if array.ndim == 4:
        channel = 1 if array.shape[1] <= _MOST_CHANNELS else 3
        if array.shape[channel] <= _MOST_CHANNELS:
            pictures = np.moveaxis(array, channel, 1).reshape(count, array.shape[channel], -1)
            means = _rows(pictures, np.mean)
            deviations = _rows(pictures, np.std)
            return {
                f"{name}: {what} of channel {k}": values[:, k]
                for what, values in (("mean", means), ("deviation", deviations))
                for k in range(array.shape[channel])
            }
    return {
        f"{name}: mean": _rows(numbers, np.mean),
        f"{name}: deviation": _rows(numbers, np.std),
        f"{name}: zeros": _rows(numbers == 0, np.mean),
    }


def _rows(array: NDArray[Any], what: Any) -> NDArray[np.float64]:
    """Reduce the last axis, sample by sample: the whole may be larger than memory."""
    return np.asarray([what(each.astype(np.float64), axis=-1) for each in array])


def _output_features(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    if array.dtype.kind not in "biuf" or array.size == 0:
        return {}
    if array.ndim == 2 and array.dtype.kind == "f" and 2 <= array.shape[1] <= _MOST_CLASSES:
        classes = np.asarray([str(each) for each in array.argmax(axis=1)])
        return {f"{name}: class": classes, f"{name}: score": array.max(axis=1).astype(np.float64)}
    if array.ndim == 1 and array.dtype.kind in "biu":
        return {f"{name}: class": np.asarray([str(int(each)) for each in array])}
    return _input_features(name, array)


def _feature(values: NDArray[Any]) -> Feature:
    if values.dtype.kind == "U":
        names, counts = np.unique(values, return_counts=True)
        shares = {str(n): float(c) / len(values) for n, c in zip(names, counts, strict=True)}
        return Feature((), shares)
    finite = values[np.isfinite(values)]
    if not len(finite):
        finite = np.zeros(1)
    edges = np.unique(np.quantile(finite, np.arange(1, BINS) / BINS))
    places = np.searchsorted(edges, finite, side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)
    shares = {str(place): float(count) / len(finite) for place, count in enumerate(counts)}
    return Feature(tuple(map(float, edges)), shares, float(np.mean(finite)), float(np.std(finite)))
