"""Statistics and draws for the points that were measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from paretune.runners.environment import fingerprint, is_same_machine
from paretune.runners.measure.campaign import Entry
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.spread import Spread, drift, spreads
from paretune.runners.measure.statistic import RESOLUTION, Statistic
from paretune.runners.metric import metric_of
from paretune.runners.runtimes.launch import Launch
from paretune.search.confirm.true_quality import Model, Score, draw
from paretune.search.record.objective import Objective
from paretune.search.record.trial import TrialRecord

DRAWS = 1000
"""Number of draws of the possible truth: a probability of 0.9 is then known to ± 0.01."""

_NO_STEP = 1e-9
"""Smaller differences of qualities are rounding errors."""

_MOST_OFF = 100.0
"""Largest deviation that is drawn, as a natural logarithm: far beyond what any machine does."""

Name = tuple[str, float]


@dataclass(eq=False)
class Point:
    """A trial that is measured again.

    Attributes:
        record: The trial, with the search's measurement.
        entry: Its launches.
        quality: Its quality on the test split.
        resampled: Its quality on bootstrap samples of that split; empty if unknown.
        more: Further metrics on that split.
        answers: Digest of its answers there; empty if it has none.
    """

    record: TrialRecord
    entry: Entry
    quality: float
    resampled: list[float]
    more: Mapping[str, float] = field(default_factory=dict)
    answers: str = ""


class FreshPoints:
    """The joint statistics of all points' launches.

    Args:
        points: The points; at least one.
        launches: For each point, the launches that count; at least one.
        objectives: The study's.
        quality_metric: Name of the workload's quality metric.
        trials: Measured trials whose qualities help to estimate those of the points.
        machine: What describes the machine that measured the launches; this one by default.
    """

    def __init__(
        self,
        points: Sequence[Point],
        launches: Sequence[Sequence[Launch]],
        objectives: Sequence[Objective],
        quality_metric: str,
        trials: Sequence[TrialRecord] = (),
        machine: Mapping[str, str] | None = None,
    ) -> None:
        machine = fingerprint() if machine is None else machine
        self.points = points
        self.trials = trials
        self.objectives = objectives
        self.quality_metric = quality_metric
        self._values = [_values(*each) for each in zip(points, launches, strict=True)]
        names = [name for name in self._values[0] if all(name in each for each in self._values)]
        names = [name for name in names if metric_of(name).interval == "timing"]
        self._spreads = {name: spreads([each[name] for each in self._values]) for name in names}
        self._drifts = {
            name: drift(
                self._spreads[name], [_before(point.record, name, machine) for point in points]
            )
            for name in names
        }

    def statistics(self, place: int) -> dict[str, Statistic]:
        """Return a point's times with their prediction intervals.

        Metrics that any launch of any point lacks are left out.
        """
        return {
            name: found[place].statistic(self._drifts[name].repetition(RESOLUTION)).for_repetition()
            for name, found in self._spreads.items()
        }

    def changes(self) -> dict[str, float]:
        """Return how many times as large as in the search each timed objective is.

        At the median of the points; 1 if too few were measured in the search on this machine.
        """
        goals = [goal.metric for goal in self.objectives if goal.metric in self._drifts]
        return {name: self._drifts[name].change for name in goals}

    def metrics(self, place: int) -> dict[str, float]:
        """Return a point's published value of each objective."""
        point, values = self.points[place], self._values[place]
        found = {}
        for goal in self.objectives:
            if goal.metric == self.quality_metric:
                found[goal.metric] = point.quality
            elif goal.metric in values:
                found[goal.metric] = float(np.mean(values[goal.metric]))
            else:
                found[goal.metric] = point.record.metrics[goal.metric]
        return found

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """Draws of the possible truth: losses of shape (draws, points, objectives).

        A draw takes a bootstrap sample of each point's launches (scaled to the spread that all
        points' launches show) and of the test split (the same samples for every point), and adds
        the variation between measurements.
        """
        rng = np.random.default_rng(len(self.points))
        qualities = self._qualities(rng)
        columns = [self._drawn(place, qualities[place], rng) for place in range(len(self.points))]
        return np.stack(columns, axis=1)

    def _qualities(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return draws of the qualities: shape (points, draws).

        If the study shows how quality depends on the axes, that is used (see
        :mod:`paretune.search.confirm.true_quality`). Otherwise a draw is a bootstrap sample. If two
        models differ on one sample only, the bootstrap is certain which is better, although other
        samples might show the opposite. So each model gets half a sample of doubt, as half a right
        and half a wrong answer are added to a share (Jeffreys' prior; Brown, Cai and DasGupta,
        "Interval Estimation for a Binomial Proportion", 2001). The weight of one sample is the
        smallest step between the bootstrap's qualities: almost zero if they are continuous.
        """
        known = [point.resampled or [point.quality] for point in self.points]
        resampled = np.array([np.resize(each, DRAWS) for each in known])
        steps = np.diff(np.unique(resampled))
        step = float(steps[steps > _NO_STEP].min(initial=np.inf))
        if not np.isfinite(step):
            return resampled
        names = [self._name(point.record) for point in self.points]
        if all(len(point.resampled) > 1 for point in self.points):
            models = self._models()
            if (drawn := draw(list(models.values()), step, DRAWS)) is not None:
                places = {name: place for place, name in enumerate(models)}
                return drawn[[places[name] for name in names]]
        doubts = {name: rng.standard_normal(DRAWS) * step * 0.5**0.5 for name in sorted(set(names))}
        found: NDArray[np.float64] = resampled + np.array([doubts[name] for name in names])
        return found

    def _models(self) -> dict[Name, Model]:
        """Return each model's scores, by the key that distinguishes models."""
        records = {self._name(r): r for r in (*self.trials, *(p.record for p in self.points))}
        tests = {self._name(p.record): Score(p.quality, p.resampled) for p in self.points}
        known = {name: _resampled(record) for name, record in records.items()}
        is_paired = len({len(each) for each in known.values()}) == 1
        models = {}
        for name, record in records.items():
            scores = {"test": tests[name]} if name in tests else {}
            if is_paired and len(known[name]) > 1:
                scores["validation"] = Score(record.metrics[self.quality_metric], known[name])
            if scores:
                models[name] = Model(record.candidate, scores)
        return models

    def _name(self, record: TrialRecord) -> Name:
        """Return the key of a trial's model: its file, and how its runtime computes the outputs."""
        artifact = record.measurement.artifact if record.measurement else ""
        return artifact, record.metrics.get(self.quality_metric, 0.0)

    def _drawn(
        self, place: int, quality: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        values = self._values[place]
        launches = len(next(iter(values.values())))
        rows = rng.integers(launches, size=(DRAWS, launches))
        shift = rng.standard_normal(DRAWS)
        columns = []
        for goal in self.objectives:
            if goal.metric == self.quality_metric:
                drawn = quality
            elif goal.metric in self._spreads:
                spread = self._spreads[goal.metric][place]
                drawn = _scaled(np.array(values[goal.metric])[rows], spread, rng)
                if goal.is_ratio_scale:
                    # The shift that all points share changes no ranking, and is left out.
                    between = np.exp(shift * max(self._drifts[goal.metric].own, RESOLUTION / 2))
                    drawn = drawn / between if goal.direction == "maximize" else drawn * between
            else:
                drawn = np.full(DRAWS, self.metrics(place)[goal.metric])
            columns.append([goal.loss(value) for value in drawn])
        return np.array(columns).T


def _resampled(record: TrialRecord) -> Sequence[float]:
    return record.measurement.resampled if record.measurement else ()


def _values(point: Point, launches: Sequence[Launch]) -> dict[str, list[float]]:
    """Return one value per launch, for metrics that every launch has, above 0."""
    batch_size = point.record.candidate.run.batch_size
    each = [summarize([launch], batch_size) for launch in launches]
    return {
        name: [found[name].value for found in each]
        for name in each[0]
        if all(name in found and found[name].value > 0 for found in each)
    }


def _before(record: TrialRecord, name: str, machine: Mapping[str, str]) -> tuple[float, int]:
    """Return the search's value and its number of launches; a value of 0 means none."""
    old = record.measurement
    is_here = old is not None and is_same_machine(machine, old.environment)
    if old is None or not is_here or name not in old.statistics:
        return 0.0, 1  # values from another machine say nothing about this one
    return old.statistics[name].value, old.launches


def _scaled(
    sampled: NDArray[np.float64], spread: Spread, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return means of bootstrap samples, of shape (draws,), spread by a standard error.

    A standard error from a few launches is itself uncertain: it is drawn as well, so that the tails
    match the published t interval.
    """
    off = np.log(sampled.mean(axis=1) / spread.mean)
    if off.std() == 0:
        off = rng.standard_normal(len(off))
    off /= off.std()
    if spread.degrees > 0:
        off *= np.sqrt(spread.degrees / rng.chisquare(spread.degrees, len(off)))
    error = (spread.standard_error or 0.0) / spread.mean
    # One degree of freedom has tails in which a value would become 0 or infinite.
    off = (off * error).clip(-_MOST_OFF, _MOST_OFF)
    scaled: NDArray[np.float64] = spread.mean * np.exp(off)
    return scaled
