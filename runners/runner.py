"""The runner: what executes an artifact on one device with one runtime, and proves that it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runners.failure import Failure
from runners.measurement import Launch
from runners.settings import MeasurementSettings
from spaces import RunSpec


@dataclass(frozen=True)
class Prediction:
    """An artifact's outputs on a whole split, and proof of where they were computed.

    Attributes:
        outputs: A ``.npy`` file of shape (samples, ...).
        nodes_by_provider: Nodes that each execution provider ran, from the runtime's own profile.
    """

    outputs: Path
    nodes_by_provider: Mapping[str, int]


@dataclass(frozen=True)
class Description:
    """What a runner has to offer.

    Attributes:
        available: Execution providers that are installed.
        known: Execution providers that the runtime knows of.
        versions: Versions of interpreter and runtime.
    """

    available: tuple[str, ...]
    known: tuple[str, ...]
    versions: Mapping[str, str]


class Runner(Protocol):
    """Executes artifacts. It sees a path, never a model object."""

    name: str

    def describe(self, folder: Path) -> Description | Failure:
        """Say what there is to run on, working in an empty folder."""

    def device(self, run: RunSpec) -> str:
        """Return the name of the device that a run takes up, for its lease."""

    def launch(
        self,
        model: Path,
        run: RunSpec,
        inputs: Sequence[Path],
        folder: Path,
        settings: MeasurementSettings,
        lease: int,
    ) -> Launch | Failure:
        """Time a model in one fresh process.

        Args:
            model: The model file.
            run: How to run it.
            inputs: A ``.npy`` file of real samples for each of the model's inputs, in order.
            folder: An empty folder for the work.
            settings: How much to measure.
            lease: Descriptor of the device's lease, for the process to inherit.
        """

    def predict(
        self, model: Path, run: RunSpec, inputs: Sequence[Path], folder: Path
    ) -> Prediction | Failure:
        """Run a model once over all samples, in batches of the run's size.

        Every node must run on the provider asked for; one that does not is a failure.
        """
