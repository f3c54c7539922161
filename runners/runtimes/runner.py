"""The runner: executes an artifact on one device with one runtime, and proves that it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paretune.runners.failure import Failure
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched.backend import InputJob
from paretune.runners.runtimes.lease import Lease
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.runtimes.serving.served import ServeSettings, ServingLaunch
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.spaces import RunSpec
from paretune.spaces.axes import Value


@dataclass(frozen=True)
class PipelineFiles:
    """Pre- and post-processing around a model.

    Attributes:
        file: Python file with functions ``preprocess`` and ``postprocess``, or one of them.
        requests: Requests to serve, as :func:`save_requests` writes them.
        axes: The values of its axes with which the samples were made from the requests, by name.
    """

    file: Path
    requests: Path
    axes: Mapping[str, Value] = field(default_factory=dict)

    def changes(self, run: RunSpec) -> dict[str, Value]:
        """Return a run's values of the pipeline's axes that differ from the samples' own."""
        return {n: v for n, v in run.options if n in self.axes and v != self.axes[n]}


@dataclass(frozen=True)
class Samples:
    """The inputs of a model.

    Attributes:
        inputs: A ``.npy`` file of real samples for each of the model's inputs, in order; the first
            axis is the sample.
        pipeline: Pre- and post-processing to time as well, if any.
        layout: How they become the inputs of a call, and which outputs are kept.
        keeps_outputs: Whether outputs are kept at all.
    """

    inputs: Sequence[Path]
    pipeline: PipelineFiles | None = None
    layout: Layout = field(default_factory=Layout)
    keeps_outputs: bool = True

    @property
    def records(self) -> list[InputJob]:
        """The inputs as a launched process is told of them."""
        names: list[str | None] = [*self.layout.inputs] or [None] * len(self.inputs)
        axes: list[int | None] = [*self.layout.inputs.values()] or [0] * len(self.inputs)
        found: list[InputJob] = [
            {"name": name, "path": str(path), "batch_axis": axis, "constant": None}
            for name, axis, path in zip(names, axes, self.inputs, strict=True)
        ]
        for constant, each in self.layout.constants.items():
            value = asdict(each)
            found.append({"name": constant, "path": None, "batch_axis": None, "constant": value})
        return found


@dataclass(frozen=True)
class Prediction:
    """An artifact's outputs on a whole split, and proof of where they were computed.

    Attributes:
        outputs: A folder with a file for each output (see ``stored_outputs``).
        providers: Each execution provider's share, from the runtime's own profile.
    """

    outputs: Path
    providers: Mapping[str, ProviderShare]


@dataclass(frozen=True)
class Description:
    """The providers and versions of a runner.

    Attributes:
        available: Execution providers that are installed.
        known: Execution providers that the runtime knows of.
        versions: Versions of interpreter and runtime.
        missing: Why a provider that the runtime was built with does not run here, by provider.
    """

    available: tuple[str, ...]
    known: tuple[str, ...]
    versions: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)


class Runner(Protocol):
    """Executes artifacts. It sees a path, never a model object."""

    name: str

    @property
    def model_format(self) -> str:
        """The name of the format it takes."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of all formats it takes, the first choice first."""

    def describe(self, folder: Path) -> Description | Failure:
        """Return providers and versions, working in an empty folder."""

    def options(self, run: RunSpec) -> dict[str, str]:
        """Return the provider's options of a run; they decide times and answers."""

    def device(self, run: RunSpec) -> str:
        """Return the name of the device that a run occupies, for its lease."""

    def cores(self, run: RunSpec) -> list[int]:
        """Return the processor cores that a launch is pinned to; empty if none."""

    def launch(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        settings: MeasurementSettings,
        lease: Lease,
    ) -> Launch | Failure:
        """Time a model in one fresh process.

        Args:
            model: The model file.
            run: How to run it.
            samples: Its inputs.
            folder: An empty folder for the work.
            settings: How much to measure.
            lease: Descriptors of the device's lease, for the process to inherit.
        """

    def predict(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        settings: MeasurementSettings,
    ) -> Prediction | Failure:
        """Run a model once over all samples, in batches of the run's size.

        Nodes that run on another provider than the one asked for are a failure, unless the
        settings tolerate their share. It takes the device's lease itself: a caller that already
        holds it would wait for ever.
        """

    def serve(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        loads: Sequence[NDArray[np.float64]],
        settings: ServeSettings,
        lease: Lease,
    ) -> ServingLaunch | Failure:
        """Serve loads in one fresh process, one after the other (``launched/load/served.py``).

        Args:
            model: The model file.
            run: How to run it: its number of instances and threads count, its batch size does not.
            samples: Its inputs; a request is one sample.
            folder: An empty folder for the work.
            loads: For each load, when each request is due, in seconds from its start, sorted.
            settings: How they are served.
            lease: Descriptors of the device's lease, for the process to inherit.
        """

    def profile(
        self,
        model: Path,
        run: RunSpec,
        samples: Samples,
        folder: Path,
        *,
        calls: int,
        lease: Lease,
    ) -> list[dict[str, Any]] | Failure:
        """Return ``node``, ``operator``, ``provider`` and ``ms_per_call`` of each node that ran."""

    def compare(
        self,
        models: tuple[Path, Path],
        run: RunSpec,
        samples: Samples,
        folder: Path,
        *,
        seconds: float,
        lease: Lease,
    ) -> list[float] | Failure:
        """Return ratios of the second model's time to the first's, one per interleaved block."""
