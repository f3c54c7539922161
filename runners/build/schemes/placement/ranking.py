"""The order in which layers are left as they are: those first that cost most for their gain."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from paretune.runners.build.schemes.nearest import Feeds
from paretune.runners.build.schemes.placement.rounding_error import rounding_errors
from paretune.runners.build.schemes.placement.time_gain import Loader, time_gains_ms
from paretune.runners.workload.onnx_weights import serialized
from paretune.spaces import SchemeRecord

_errors: dict[tuple[Any, ...], dict[str, float]] = {}
_gains: dict[tuple[Any, ...], dict[str, float]] = {}
"""What was measured in this process, by model and rounding: other shares and schemes ask again. A
process builds for one workload, so the calibration samples are the same.
"""


@dataclass(frozen=True)
class Bargain:
    """What quantizing one layer gives, and what it costs.

    Attributes:
        layer: The layer's name.
        gain: Milliseconds per call that it saves; where no operator computes in integers, the
            number of weights that it makes smaller.
        error: The error of the model's outputs if this layer alone is rounded, relative to them.
    """

    layer: str
    gain: float
    error: float

    @property
    def price(self) -> float:
        """The error for each unit of gain; infinite where nothing is gained."""
        return self.error / self.gain if self.gain > 0 else math.inf


def bargains(
    model: onnx.ModelProto, feeds: Feeds, scheme: SchemeRecord, load: Loader
) -> list[Bargain]:
    """Return what each layer that a scheme quantizes gives and costs, the worst bargain first.

    Leaving the first few as they are is the best that can be done if errors and gains add up: it is
    the greedy order of a knapsack (Dantzig, "Discrete-Variable Extremum Problems", 1957,
    https://doi.org/10.1287/opre.5.2.266).

    Args:
        model: The model in fp32; its layers have names.
        feeds: Calibration samples: the inputs of one call each, by name.
        scheme: The scheme.
        load: Returns how to call a file in the runtime that the scheme is made for.
    """
    rounding = (scheme.mode, scheme.weight_bits, scheme.activation_bits, scheme.operators)
    key = (hashlib.sha256(serialized(model)).digest(), rounding)
    errors = _errors.get(key)
    if errors is None:
        errors = _errors[key] = rounding_errors(model, feeds, scheme)
    gains = _gains.get((*key, load))
    if gains is None:
        gains = _gains[*key, load] = time_gains_ms(model, feeds[0], scheme, load)
    found = [Bargain(name, gains[name], error) for name, error in errors.items()]
    return sorted(found, key=lambda each: (-each.price, -each.error))


@dataclass(frozen=True)
class Placement:
    """Which layers a scheme quantizes.

    Attributes:
        layers: What each layer gives and costs, the worst bargain first; empty if all are quantized
            unmeasured.
        share: The share of the layers to leave as they are, rounded up to whole layers.
        unit: Of the gains: ``ms`` per call, or ``weights`` that are made smaller.
        named: The names of further layers that are left, because the workload says so.
    """

    layers: Sequence[Bargain] = ()
    share: float = 0.0
    unit: str = "ms"
    named: Sequence[str] = ()

    @property
    def left(self) -> list[str]:
        """Names of the layers that are left as they are: those named, and the costliest."""
        return [*self.named, *(each.layer for each in self.layers[: self._count])]

    def as_json(self) -> str:
        """Return every layer with its gain, its error and the decision."""
        return json.dumps(
            [
                {
                    "layer": each.layer,
                    f"gain_{self.unit}": each.gain,
                    "error": each.error,
                    "is_quantized": place >= self._count,
                }
                for place, each in enumerate(self.layers)
            ]
        )

    @property
    def _count(self) -> int:
        return math.ceil(self.share * len(self.layers) - 1e-9)
