"""The scale on which drops of quality are learned: linear when small, logarithmic when large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SMALL = 0.01
"""Drop up to which the scale is nearly linear, as a share of the first quality. Chosen by
judgement; what the scale gives is in docs/evidence.md ("On a study that was measured whole").
"""


@dataclass(frozen=True)
class DropScale:
    """Losses of quality by their distance from a first one, as an inverse hyperbolic sine.

    Compression multiplies errors: pruning that costs a large student a thousandth costs a small one
    a fifth. What is a factor on one scale is a sum on this one, which is what a surrogate learns
    from few trials (Burbidge, Magee and Robb, "Alternative Transformations to Handle Extreme Values
    of the Dependent Variable", 1988, https://doi.org/10.1080/01621459.1988.10478575).

    Attributes:
        first: The loss that distances are counted from.
        unit: The distance up to which the scale is nearly linear; above zero.
    """

    first: float
    unit: float

    @classmethod
    def of(cls, losses: Array) -> DropScale:
        """Return the scale of some losses, the first of which is the baseline's if it is known."""
        first = float(losses[0])
        size = abs(first) or float(np.abs(losses).max()) or 1.0
        return cls(first, _SMALL * size)

    def scaled(self, losses: Array) -> Array:
        """Return losses on the scale."""
        found: Array = np.arcsinh((losses - self.first) / self.unit)
        return found

    def losses(self, means: Array, deviations: Array) -> tuple[Array, Array]:
        """Return the losses of means, and how much better one deviation makes them.

        To the worse side a deviation spans more; but an improvement lies on the better side.
        """
        middle = np.sinh(means)
        better = middle - np.sinh(means - deviations)
        return self.first + self.unit * middle, self.unit * better
