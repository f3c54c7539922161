"""Which stages run on other hosts: events that hosts send and a search receives."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.execute.ongoing_stage import OngoingStage

if TYPE_CHECKING:
    import distributed

_OLD_S = 600.0
"""Seconds after which a host's last word no longer counts: it may have died. Chosen by judgement:
an epoch of hours is told once, and forgotten until its end.
"""


class StagesHere:
    """Sends which stages run on a host and how far they are, whenever that has changed.

    Args:
        worker: The host's Dask worker.
    """

    def __init__(self, worker: distributed.Worker) -> None:
        self._worker = worker
        self._told: dict[Path, list[OngoingStage]] = {}

    def tell(self, stages: Mapping[Path, list[OngoingStage]]) -> None:
        """Send what is new.

        Args:
            stages: The stages under way, by study file.
        """
        for study in {*self._told, *stages}:
            now = stages.get(study, [])
            if now != self._told.get(study, []):
                news = {"host": self._worker.address, "stages": [asdict(each) for each in now]}
                self._worker.log_event(_topic(study), news)
        self._told = dict(stages)


class StagesElsewhere:
    """Receives which stages of a study run, from all hosts.

    Args:
        client: A client of the scheduler.
        study: The study file.
    """

    def __init__(self, client: distributed.Client, study: Path) -> None:
        self._told: dict[str, tuple[float, list[OngoingStage]]] = {}
        client.subscribe_topic(_topic(study), self._hear)

    def __call__(self) -> Sequence[OngoingStage]:
        """Return the stages that are under way, as far as told."""
        now = time.monotonic()
        told = list(self._told.values())
        return [each for at, stages in told if now - at < _OLD_S for each in stages]

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        news = event[1]
        stages = [OngoingStage.from_dict(each) for each in news["stages"]]
        self._told[news["host"]] = time.monotonic(), stages


def _topic(study: Path) -> str:
    return f"paretune-stages {study}"
