"""What comes of a build: the artifact and its lineage, or how far its training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paretune.runners.store.stage_record import StageRecord


@dataclass(frozen=True)
class Built:
    """An artifact in the store, and the stages that made it.

    Attributes:
        artifact: The artifact's digest.
        lineage: The records of the stages that made it, in order.
        stage_seconds: Seconds per stage in this build, by name; reused stages are left out.
    """

    artifact: str
    lineage: tuple[StageRecord, ...]
    stage_seconds: Mapping[str, float]

    @property
    def stage_quality(self) -> dict[str, float]:
        """The model's quality in training, by the stage that ended with it."""
        return qualities(self.lineage)

    @property
    def train_losses(self) -> dict[str, Sequence[float]]:
        """The training loss of each epoch, by training stage."""
        return losses(self.lineage)


@dataclass(frozen=True)
class Training:
    """The progress of a build's training.

    Attributes:
        stage_quality: The model's quality by the stage that ended with it.
        stage_seconds: Seconds per stage just now, by name; reused stages are left out.
        train_losses: The training loss of each epoch, by training stage.
    """

    stage_quality: Mapping[str, float]
    stage_seconds: Mapping[str, float]
    train_losses: Mapping[str, Sequence[float]]


def losses(lineage: Iterable[StageRecord]) -> dict[str, Sequence[float]]:
    """Return the training loss of each epoch, by training stage."""
    return {record.stage: record.train_losses for record in lineage if record.train_losses}


def qualities(lineage: Iterable[StageRecord]) -> dict[str, float]:
    """Return a model's quality in training, by the stage that ended with it."""
    return {
        record.stage: record.metrics["quality"] for record in lineage if "quality" in record.metrics
    }
