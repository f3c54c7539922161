"""How far a build is: the stage under way, in a file that the worker writes and the study reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paretune.runners.workload.learning.progress import Epoch


@dataclass(frozen=True)
class OngoingTraining:
    """A training under way.

    Attributes:
        stage: The build's stage.
        candidate: What is built, in words.
        epoch: The last finished epoch.
    """

    stage: str
    candidate: str
    epoch: Epoch

    @property
    def words(self) -> str:
        """The training in words: stage, epoch, loss, quality and time left."""
        epoch = self.epoch
        stage = "" if self.stage == self.candidate else f" ({self.stage})"
        told = f"training {self.candidate}{stage}: epoch {epoch.number}/{epoch.count}"
        told += f", loss {epoch.loss:.4g}"
        if epoch.quality is not None:
            told += f", quality {epoch.quality:.4g}"
        if epoch.seconds_left is not None:
            minutes, seconds = divmod(round(epoch.seconds_left), 60)
            told += f", {minutes}:{seconds:02} left"
        return told


@dataclass(frozen=True)
class OngoingStage:
    """A stage of a build under way.

    Attributes:
        stage: Its name.
        candidate: What is built, in words.
        occasion: What the build is done for (see :class:`Job`).
        epoch: The last finished epoch; ``None`` before the first, or if the stage trains nothing.
        is_suspended: Whether it stands still, because something is measured.
    """

    stage: str
    candidate: str = ""
    occasion: str = ""
    epoch: Epoch | None = None
    is_suspended: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OngoingStage:
        """Undo :func:`dataclasses.asdict`."""
        epoch = values["epoch"]
        return cls(**{**values, "epoch": None if epoch is None else Epoch(**epoch)})

    @property
    def training(self) -> OngoingTraining | None:
        """How far it has trained; ``None`` before the first epoch."""
        if self.epoch is None:
            return None
        return OngoingTraining(self.stage, self.candidate, self.epoch)


class StageFile:
    """The file, which is whole at any time.

    Args:
        path: Its path; it is there while a stage runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, stage: OngoingStage) -> None:
        """Write which stage runs, and how far it is."""
        aside = self.path.with_name(f"{self.path.name}.new")
        aside.write_text(json.dumps(asdict(stage)), "utf-8")
        aside.replace(self.path)

    def read(self) -> OngoingStage | None:
        """Return the stage that runs; ``None`` if none does."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return OngoingStage.from_dict(found)

    def remove(self) -> None:
        """Remove the file: no stage runs."""
        self.path.unlink(missing_ok=True)
