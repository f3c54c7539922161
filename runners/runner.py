"""The runner: what executes an artifact on one device with one runtime, and proves that it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runners.failure import Failure
from runners.measurement import Launch
from spaces import RunSpec


@dataclass(frozen=True)
class MeasurementSettings:
    """How much is measured; the defaults suit a search.

    Attributes:
        launches: Fresh processes that each time the artifact; the replicates.
        extra_launches: How many more may replace launches that something disturbed.
        warmup_seconds: Longest warm-up of a launch; it ends earlier once timing is steady.
        min_seconds: Shortest timed part of a launch.
        min_iterations: Fewest timed calls of a launch.
        max_iterations: Most timed calls of a launch.
        timeout_s: Deadline of a launch.
    """

    launches: int = 3
    extra_launches: int = 3
    warmup_seconds: float = 1.0
    min_seconds: float = 0.2
    min_iterations: int = 30
    max_iterations: int = 10_000
    timeout_s: float = 60.0


@dataclass(frozen=True)
class Timing:
    """The launches of one artifact run one way.

    Attributes:
        launches: Those that count.
        contaminated: How many of all were disturbed.
    """

    launches: tuple[Launch, ...]
    contaminated: int


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

    def time(self, model: Path, run: RunSpec, inputs: Path, folder: Path) -> Timing | Failure:
        """Time a model in fresh processes.

        Args:
            model: The model file.
            run: How to run it.
            inputs: A ``.npy`` file of real samples, shape (samples, ...).
            folder: An empty folder for the work.
        """

    def predict(
        self, model: Path, run: RunSpec, inputs: Path, folder: Path
    ) -> Prediction | Failure:
        """Run a model once over all samples, in batches of the run's size."""
