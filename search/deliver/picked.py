"""The pick: the chosen point, the reason, and the files written for it."""

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
from paretune.search.deliver.pick_text import pick_lines
from paretune.search.deliver.recheck import Recheck
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish


@dataclass(frozen=True)
class Origin:
    """The origin of a picked point: everything needed to make its bundle.

    Attributes:
        study: The study's name.
        store: Holds the model file.
        runner: Returns the runner that the point was measured on.
        requirements: The packages that pip installs for that runner.
        samples: Returns the inputs of the confirmation, if there was one.
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
        wish: The wish.
        equals: The points among which it was picked: the best remaining one by its value, and those
            that cannot be told apart from it.
        origin: Everything needed to make its bundle.
        manifest: Path of the written manifest, or ``None``.
        checked: The new measurement, or ``None``.
        rechecks: The new measurement compared with the published values, by metric; may be empty.
        broken: For each point that would have been picked before it, why it was not.
        version: Its version in MLflow's model registry, or ``None``.
        tracking_uri: The URI of that registry.
        exports: The main file written for each target, by the target's name.
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

    def __repr__(self) -> str:
        """Return it as `paretune pick` prints it."""
        return "\n".join(pick_lines(self))

    @property
    def triton(self) -> Path | None:
        """Path of the Triton configuration that was written, or ``None``."""
        return self.exports.get("triton")

    @property
    def model(self) -> Path | None:
        """Path of the written model file, or ``None``."""
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
            wish=self.wish,
        )
