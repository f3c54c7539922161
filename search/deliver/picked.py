"""The pick: the point that was chosen, why, and what was written of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paretune.runners.measure.measurement import Measurement
from paretune.search.deliver.choice import Wish
from paretune.search.record.history import History
from paretune.search.deliver.recheck import Recheck
from paretune.search.record.trial import TrialRecord


@dataclass(frozen=True)
class Pick:
    """A picked point.

    Attributes:
        record: The trial, with its published values if the study was confirmed.
        history: The study it was picked from.
        wish: What was wished for.
        equals: The points among which it was picked: the best by its value of those left, and those
            that cannot be told from it.
        manifest: Path of the manifest that was written, or ``None``.
        checked: What was measured just now, or ``None``.
        rechecks: The same, each metric beside what was published of it; empty without it.
        broken: Of each point that would have been picked before it, why it was not.
        version: Its version in MLflow's model registry, or ``None``.
        tracking_uri: Where that registry is.
        triton: Path of the Triton configuration that was written, or ``None``.
    """

    record: TrialRecord
    history: History
    wish: Wish
    equals: tuple[TrialRecord, ...]
    manifest: Path | None
    checked: Measurement | None = None
    rechecks: Mapping[str, Recheck] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    version: str | None = None
    tracking_uri: str = ""
    triton: Path | None = None

    @property
    def model(self) -> Path | None:
        """Path of the model file that was written, or ``None``."""
        if self.manifest is None:
            return None
        name: str = json.loads(self.manifest.read_text("utf-8"))["model"]["file"]
        return self.manifest.parent / name
