"""The pick: the point that was chosen, why, and what was written of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paretune.runners.measure.measurement import Measurement
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.deliver.bundle import write_bundle
from paretune.search.deliver.choice import Wish
from paretune.search.deliver.recheck import Recheck
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord


@dataclass(frozen=True)
class Origin:
    """Where a picked point comes from: what its bundle is made of.

    Attributes:
        study: The study's name.
        store: Has the model file.
        runner: Returns the runner that the point was measured on.
        requirements: What pip installs for that runner.
        samples: Returns what the point was confirmed on, if it was.
        plugins: Files that register what the study uses, if it names any.
    """

    study: str
    store: ArtifactStore
    runner: Callable[[], ProcessRunner]
    requirements: Sequence[str] = ()
    samples: Callable[[], Samples | None] = lambda: None
    plugins: Sequence[Path] = ()


@dataclass(frozen=True)
class Pick:
    """A picked point.

    Attributes:
        record: The trial, with its published values if the study was confirmed.
        history: The study it was picked from.
        wish: What was wished for.
        equals: The points among which it was picked: the best by its value of those left, and those
            that cannot be told from it.
        origin: What its bundle is made of.
        manifest: Path of the manifest that was written, or ``None``.
        checked: What was measured just now, or ``None``.
        rechecks: The same, each metric beside what was published of it; empty without it.
        broken: Of each point that would have been picked before it, why it was not.
        version: Its version in MLflow's model registry, or ``None``.
        tracking_uri: Where that registry is.
        exports: What was written for a target, by the target's name: the path of its main file.
    """

    record: TrialRecord
    history: History
    wish: Wish
    equals: tuple[TrialRecord, ...]
    origin: Origin
    manifest: Path | None = None
    checked: Measurement | None = None
    rechecks: Mapping[str, Recheck] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    version: str | None = None
    tracking_uri: str = ""
    exports: Mapping[str, Path] = field(default_factory=dict)

    @property
    def triton(self) -> Path | None:
        """Path of the Triton configuration that was written, or ``None``."""
        return self.exports.get("triton")

    @property
    def model(self) -> Path | None:
        """Path of the model file that was written, or ``None``."""
        if self.manifest is None:
            return None
        name: str = json.loads(self.manifest.read_text("utf-8"))["model"]["file"]
        return self.manifest.parent / name

    def save(self, folder: str | Path) -> Path:
        """Write the bundle: the model file, its manifest and its card; return the manifest's path.

        Raises:
            StudyError: If the folder holds something else, or the model file is gone.
        """
        origin = self.origin
        return write_bundle(
            self.record,
            self.history,
            origin.store,
            Path(folder),
            origin.study,
            origin.runner(),
            requirements=origin.requirements,
            plugins=origin.plugins,
            samples=origin.samples(),
            rechecks=self.rechecks,
        )
