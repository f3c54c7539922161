"""News of trainings: told on the terminal and in MLflow while they go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paretune.runners.execute.training_file import OngoingTraining
from paretune.search.record.tracking import Tracking
from paretune.search.run.reporter import Reporter


class TrainingNews:
    """Tells how far trainings are, whenever one has finished another epoch.

    Args:
        trainings: Returns the trainings that are under way.
        reporter: Told.
        tracking: Told.
    """

    def __init__(
        self,
        trainings: Callable[[], Sequence[OngoingTraining]],
        reporter: Reporter,
        tracking: Tracking,
    ) -> None:
        self._trainings, self._reporter, self._tracking = trainings, reporter, tracking
        self._told: Sequence[OngoingTraining] = ()

    def __call__(self) -> None:
        """Tell what is new."""
        found = self._trainings()
        if found and found != self._told:
            self._told = found
            self._reporter.training(found)
            self._tracking.log_training(found)
