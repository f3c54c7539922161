"""An assignment: what a host has to know of a study to do its jobs."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from paretune.runners.fleet.device.evaluator_setup import EvaluatorSetup
from paretune.runners.measure.evaluator import Evaluator, Judge
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.open_store import open_store
from paretune.spaces import StoreError, digest


@dataclass(frozen=True)
class Assignment:
    """What a host has to know of a study to do its jobs.

    Attributes:
        study: The study file, at the same place on every machine.
        settings: How much to measure.
        samples: What it measures on.
        building: Digest of what builds depend on: the host refuses to build from anything else.
        measuring: What measurements depend on besides: a host needs nothing else to measure.
        store: The store's folder, the same on every machine; of a store at a URL, its cache.
        url: The store's URL, if it is at one.
    """

    study: Path
    settings: MeasurementSettings
    samples: StoredSamples
    building: str
    measuring: EvaluatorSetup
    store: str
    url: str | None = None

    @property
    def key(self) -> str:
        """Digest of all of it."""
        return digest({**asdict(self), "study": str(self.study)})

    def opened_store(self) -> ArtifactStore:
        """Return the store on this machine.

        The cache of a store at a URL lies where the study's is, if the study is here, too.

        Raises:
            StoreError: If its folder is not there.
        """
        if self.url is None:
            return open_store(on_this_machine(Path(self.store)))
        own = Path.home() / ".cache" / "paretune" / "stores" / digest({"url": self.url})
        return open_store(Path(self.store) if self.study.is_file() else own, self.url)

    def evaluator(self, judge: Judge, *, measures: bool, judges_here: bool = True) -> Evaluator:
        """Return the study's evaluator on this machine (see :meth:`EvaluatorSetup.evaluator`).

        Raises:
            StoreError: If the folder of the store is not there.
            ParetuneError: If a runner's environment cannot be made, or its runtime is unknown.
        """
        return self.measuring.evaluator(
            self.opened_store(),
            self.study.parent,
            self.samples,
            self.settings,
            judge,
            measures=measures,
            judges_here=judges_here,
        )


def on_this_machine(path: Path) -> Path:
    """Return a path of a study that must be here, too.

    Raises:
        StoreError: If it is not.
    """
    if not path.exists():
        raise StoreError(
            f"{platform.node()} has no {path}: the folders of the study and, unless it is at a "
            "URL, of its store must lie at the same place on every machine of the fleet"
        )
    return path
