"""An encoding: candidates as points for a Gaussian process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paretune.spaces import Axis, Candidate
from paretune.spaces.axes import Value

Array = NDArray[np.float64]

_BESIDE_SIZE = 0.3
"""Weight of a student's name beside its size, which tells most of what a name does. Evidence: with
sizes as a feature, with bounds of length scales, with the doubts of `model_doubt.py` and with the
first runs of new trainings, 0.82 of the best hypervolume after 25 trials instead of 0.72
(`samplers.py`, 10 seeds); each alone is untested.
"""


class Encoding:
    """Candidates as points, each feature within [0, 1].

    Counts (batch size, threads) are encoded by their logarithms, ratios by their values; each name
    becomes one feature. If no axis has a choice, there is one feature, which is zero.

    Args:
        axes: The axes to encode, in order.
        sizes: A value that grows with a student's size, by student: another feature, if all
            students have one.
    """

    def __init__(self, axes: Sequence[Axis], sizes: Mapping[str, float] | None = None) -> None:
        self.axes, self.sizes = axes, sizes or {}
        widths = [block.shape[1] for axis in axes for block in self._blocks(axis, axis.values[:1])]
        self.shared: NDArray[np.int64] = np.repeat(np.arange(len(widths)), widths)
        """The number of each feature's length scale, as the names of an axis share one."""
        if not widths:
            self.shared = np.zeros(1, dtype=np.int64)

    def points(self, candidates: Sequence[Candidate]) -> Array:
        """Return candidates as points: shape (candidates, features)."""
        params = [candidate.params for candidate in candidates]
        blocks = [
            block
            for axis in self.axes
            for block in self._blocks(axis, [values[axis.name] for values in params])
        ]
        return np.hstack(blocks) if blocks else np.zeros((len(candidates), 1))

    def places(self, axes: Collection[Axis]) -> list[int]:
        """Return the places of some axes' features among all; the first, if they have none."""
        found: list[int] = []
        end = 0
        for axis in self.axes:
            begin = end
            end += sum(block.shape[1] for block in self._blocks(axis, axis.values[:1]))
            found += range(begin, end) if axis in axes else ()
        return found or [0]

    def _blocks(self, axis: Axis, values: Sequence[Value]) -> list[Array]:
        """Return the features of values of an axis; those of a block share a length scale.

        Each block has the shape (values, features).
        """
        blocks: list[Array] = []
        apart = 1.0
        if axis.name == "student" and all(name in self.sizes for name in axis.values):
            of = {name: float(np.log(self.sizes[str(name)])) for name in axis.values}
            blocks.append(_scaled([of[value] for value in values], list(of.values())))
            apart = _BESIDE_SIZE
        if axis.is_ordered and axis.values != (0.0,):
            ends = [_position(axis.values[0]), _position(axis.values[-1])]
            blocks.append(_scaled([_position(value) for value in values], ends))
        elif not axis.is_ordered and len(axis.values) > 1:
            is_name = np.array([[value == name for name in axis.values] for value in values])
            blocks.append(apart * is_name.reshape(-1, len(axis.values)))
        return blocks


def _scaled(values: Sequence[float], among: Sequence[float]) -> Array:
    """Return values as a column, between the least and the largest of some: (values, 1)."""
    spread = max(max(among) - min(among), 1e-9)
    return (np.array(values, dtype=np.float64).reshape(-1, 1) - min(among)) / spread


def _position(value: Value) -> float:
    return float(np.log2(value)) if isinstance(value, int) else float(value)
