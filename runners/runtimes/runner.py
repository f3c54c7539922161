"""The runner: executes an artifact on one device with one runtime, and proves that it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paretune.runners.failure import Failure
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import Lease
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.spaces import RunSpec, StoreError


@dataclass(frozen=True)
class PipelineFiles:
    """Pre- and post-processing around a model.

    Attributes:
        file: Python file with functions ``preprocess`` and ``postprocess``, or one of them.
        requests: Requests to serve, as :func:`save_requests` writes them.
    """

    file: Path
    requests: Path


@dataclass(frozen=True)
class Samples:
    """The inputs of a model.

    Attributes:
        inputs: A ``.npy`` file of real samples for each of the model's inputs, in order.
        pipeline: Pre- and post-processing to time as well, if any.
    """

    inputs: Sequence[Path]
    pipeline: PipelineFiles | None = None

    def as_dict(self, folder: Path) -> dict[str, Any]:
        """Return plain nested values, ready for JSON, that stay valid if the study is moved.

        Args:
            folder: The study's folder. A pipeline inside it is stored by its relative path, another
                one by its absolute path. Files of the store are stored by their names, the digests.
        """
        if self.pipeline is None:
            return {"inputs": [path.name for path in self.inputs], "pipeline": None}
        file = self.pipeline.file
        seen = file.relative_to(folder) if file.is_relative_to(folder) else file
        around = {"file": str(seen), "requests": self.pipeline.requests.name}
        return {"inputs": [path.name for path in self.inputs], "pipeline": around}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], store: ArtifactStore, folder: Path) -> Samples:
        """Undo :meth:`as_dict`.

        Earlier versions stored absolute paths of the store's files, whose names are the digests.

        Args:
            values: The result of :meth:`as_dict`.
            store: Holds the files.
            folder: The study's folder.

        Raises:
            StoreError: If a file in the store is missing or damaged, or the pipeline's file is
                gone.
        """
        inputs = [_stored(store, name) for name in values["inputs"]]
        around = values["pipeline"]
        if not around:
            return cls(inputs)
        file = _pipeline_file(Path(around["file"]), folder)
        return cls(inputs, PipelineFiles(file, _stored(store, around["requests"])))


def _stored(store: ArtifactStore, name: str) -> Path:
    """Return a file of the store by its digest, or by a path that ends with it."""
    digest = Path(name).name
    path = store.get(digest)
    if path is None:
        raise StoreError(
            f"the samples {digest[:12]}… of the study's confirmation are missing or damaged in "
            f"{store.root}: run `paretune confirm`, which stores them again"
        )
    return path


def _pipeline_file(kept: Path, folder: Path) -> Path:
    """Return a pipeline's file; after a move of the study, look for it in the study's folder.

    Raises:
        StoreError: If it does not exist.
    """
    tails = [Path(*kept.parts[start:]) for start in range(1, len(kept.parts))]
    for path in (folder / kept, *(folder / tail for tail in tails if kept.is_absolute())):
        if path.is_file():
            return path
    raise StoreError(
        f"the pipeline {folder / kept} of the study's confirmation is missing: put it back, or "
        "run `paretune confirm` with the current one"
    )


@dataclass(frozen=True)
class Prediction:
    """An artifact's outputs on a whole split, and proof of where they were computed.

    Attributes:
        outputs: A ``.npy`` file of shape (samples, ...).
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
