"""How far a build worker's training is: a file that the worker writes and the study reads."""

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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OngoingTraining:
        """Undo :func:`dataclasses.asdict`."""
        return cls(values["stage"], values["candidate"], Epoch(**values["epoch"]))

    @property
    def words(self) -> str:
        """The training in words: stage, epoch, loss, quality and time left."""
        epoch = self.epoch
        told = f"{self.stage} of {self.candidate}: epoch {epoch.number}/{epoch.count}"
        told += f", loss {epoch.loss:.4g}"
        if epoch.quality is not None:
            told += f", quality {epoch.quality:.4g}"
        if epoch.seconds_left is not None:
            minutes, seconds = divmod(round(epoch.seconds_left), 60)
            told += f", {minutes}:{seconds:02} left"
        return told


class TrainingFile:
    """The file, which is whole at any time.

    Args:
        path: Its path; it is there while something trains.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, stage: str, candidate: str, epoch: Epoch) -> None:
        """Write how far a training is."""
        aside = self.path.with_name(f"{self.path.name}.new")
        aside.write_text(json.dumps(asdict(OngoingTraining(stage, candidate, epoch))), "utf-8")
        aside.replace(self.path)

    def read(self) -> OngoingTraining | None:
        """Return how far the training is; ``None`` if there is none."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return OngoingTraining.from_dict(found)

    def remove(self) -> None:
        """Remove the file: nothing trains."""
        self.path.unlink(missing_ok=True)
