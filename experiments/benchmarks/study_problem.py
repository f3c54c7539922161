"""What a simulated study is about: the values and the costs of every candidate of a space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from paretune.runners.measure.statistic import Statistic
from paretune.runners.workload.recipe import Recipe
from paretune.search.record.hypervolume import hypervolume
from paretune.search.record.objective import default_objectives, losses, reference_point
from paretune.search.record.pareto import front
from paretune.search.record.wish import Wish
from paretune.spaces import BuildSpec, Candidate, SearchSpace

OBJECTIVES = default_objectives("accuracy")
EVERYTHING = Wish(min_quality=0.0)


class StudyProblem(ABC):
    """A space with three objectives, whose values and costs are known beforehand.

    Args:
        space: The space.
        recipe: Determines how trainings are divided.
        wish: What counts: every quality down to zero, or with ``ANYTHING`` what counts in a study.
        timing_seconds: What it takes to time a few steps of each model before a search begins.
    """

    def __init__(
        self, space: SearchSpace, recipe: Recipe, wish: Wish, timing_seconds: float
    ) -> None:
        self.space = space
        self.recipe = recipe
        self.wish = wish
        self.timing_seconds = timing_seconds

    @abstractmethod
    def accuracy(self, build: BuildSpec) -> float:
        """Return a build's accuracy."""

    @abstractmethod
    def metrics(self, candidate: Candidate) -> dict[str, float]:
        """Return a candidate's accuracy, p95 latency and throughput, as one night measures them."""

    @abstractmethod
    def statistics(self, candidate: Candidate) -> dict[str, Statistic]:
        """Return the same metrics with their intervals."""

    @abstractmethod
    def quality_after(self, stage: str, build: BuildSpec) -> float:
        """Return a build's accuracy after one of its trainings."""

    @abstractmethod
    def stage_seconds(self, stage: str, build: BuildSpec) -> float:
        """Return a stage's seconds; the reference costs nothing."""

    @abstractmethod
    def epoch_seconds(self) -> dict[str, float]:
        """Return the seconds per epoch of each model, which a search times before it begins."""

    @abstractmethod
    def measure_seconds(self, candidate: Candidate) -> float:
        """Return the seconds of a candidate's measurement."""

    @cached_property
    def frontier(self) -> np.ndarray:
        """The losses of the true frontier: shape (points, objectives)."""
        return front(losses([self.metrics(c) for c in self.space.candidates()], OBJECTIVES))

    @cached_property
    def reference(self) -> np.ndarray:
        """The losses that hypervolumes are measured from: shape (objectives,)."""
        reference = reference_point(self.metrics(self.space.baseline), OBJECTIVES)
        if self.wish == EVERYTHING:
            reference[0] = 0.0
        return reference

    def share_of_hypervolume(self, found: list[dict[str, float]]) -> float:
        """Return the share of the true frontier's hypervolume that was found.

        A yardstick for a strategy that knows what counts, from the wish.
        """
        whole = hypervolume(self.frontier, self.reference)
        return hypervolume(losses(found, OBJECTIVES), self.reference) / whole
