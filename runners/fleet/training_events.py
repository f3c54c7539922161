"""How far the trainings on other hosts are: events that hosts send and a search receives."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.execute.training_file import OngoingTraining

if TYPE_CHECKING:
    import distributed

_OLD_S = 600.0
"""Seconds after which a host's last word no longer counts: it may have died. Chosen by judgement:
an epoch of hours is told once, and forgotten until its end.
"""


class TrainingsHere:
    """Sends how far a host's trainings are, whenever that has changed.

    Args:
        worker: The host's Dask worker.
    """

    def __init__(self, worker: distributed.Worker) -> None:
        self._worker = worker
        self._told: dict[Path, list[OngoingTraining]] = {}

    def tell(self, trainings: Mapping[Path, list[OngoingTraining]]) -> None:
        """Send what is new.

        Args:
            trainings: The trainings under way, by study file.
        """
        for study in {*self._told, *trainings}:
            now = trainings.get(study, [])
            if now != self._told.get(study, []):
                news = {"host": self._worker.address, "trainings": [asdict(t) for t in now]}
                self._worker.log_event(_topic(study), news)
        self._told = dict(trainings)


class TrainingsElsewhere:
    """Receives how far the trainings of a study are, from all hosts.

    Args:
        client: A client of the scheduler.
        study: The study file.
    """

    def __init__(self, client: distributed.Client, study: Path) -> None:
        self._told: dict[str, tuple[float, list[OngoingTraining]]] = {}
        client.subscribe_topic(_topic(study), self._hear)

    def __call__(self) -> Sequence[OngoingTraining]:
        """Return the trainings that are under way, as far as told."""
        now = time.monotonic()
        told = list(self._told.values())
        return [each for at, trainings in told if now - at < _OLD_S for each in trainings]

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        news = event[1]
        trainings = [OngoingTraining.from_dict(each) for each in news["trainings"]]
        self._told[news["host"]] = time.monotonic(), trainings


def _topic(study: Path) -> str:
    return f"paretune-trainings {study}"
