"""Confirmation: the plausible frontier measured again; only these fresh values are published.

A search reports the best of many noisy values, and the best of many is partly luck: some points of
its frontier were measured in a good minute, or on samples that suited them (the winner's curse). So
every point that may be on the frontier is measured again, in fresh processes that take turns, with
the careful protocol, and with quality from the test split, which the search never saw.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from itertools import count
from uuid import uuid4

import numpy as np

from paretune.runners.execute.executor import Executor, done
from paretune.runners.execute.job import Launch, Score
from paretune.runners.failure import Failure
from paretune.runners.measure.campaign import Campaign, Entry, Launched
from paretune.runners.measure.evaluator import Evaluator, Scored
from paretune.runners.runtimes.lease import waiting_until
from paretune.search.confirm.fresh_points import Point
from paretune.search.confirm.judgement import Judgement
from paretune.search.confirm.pace import ConfirmationPace, ConfirmationProgress, rounds_after
from paretune.search.confirm.plausible import baseline_first, to_confirm
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import named_trials
from paretune.spaces import DeviceBusyError

_STABLE_ROUNDS = 3
"""Rounds in a row in which the published frontier must stay the same. Chosen by judgement.
`calibration.py` checks confirmation and publication as a whole.
"""

_SHORTEST_LAUNCHES = 2
"""Launches that a point needs to be judged after an interruption: fewer have no interval."""

_UNKNOWN_LAUNCH_S = 2.0
"""Seconds of a launch before any was timed. Chosen by judgement."""

_LARGEST_SHARE = 0.35
"""Largest share of a budget in hours that is kept for the confirmation. Chosen by judgement."""

_REST_AFTER_ASKING = 100.0
"""Times its own duration that an estimate of the seconds holds: a search asks several times per
trial, and the answer compares all trials with each other. Chosen by judgement: it takes at most one
percent of a search.
"""

_LOG = logging.getLogger("paretune")

Progress = Callable[[ConfirmationProgress], None]
"""Called whenever a measurement begins."""


class Confirmation:
    """Measures the plausible frontier of a study again.

    Args:
        history: The study.
        evaluator: Summarizes launches on the test split, with the careful settings.
        executor: Does the jobs on that split, with those settings.
        progress: Called for each measurement.
        only: The trials to measure, instead of all plausible ones.
        best: Returns the trial that a pick would take: it comes first if time is short.

    Attributes:
        left_out: How many trials there was no time for.
        reason: Why no point was launched again, in words.
        interruption: What ended it early (Ctrl-C, SIGTERM); the result is then what was confirmed
            so far.
    """

    def __init__(
        self,
        history: History,
        evaluator: Evaluator,
        executor: Executor,
        progress: Progress = lambda *_: None,
        only: Collection[int] | None = None,
        best: Callable[[History], TrialRecord | None] = lambda _: None,
    ) -> None:
        self.history, self.progress, self.only, self.best = history, progress, only, best
        self.left_out, self.reason = 0, ""
        self.evaluator, self.executor = evaluator, executor
        self.interruption: KeyboardInterrupt | None = None
        self._campaign = Campaign(evaluator.runners, evaluator.settings, [])
        self._judgement = Judgement(history, evaluator, self._campaign)
        self._occasion, self._numbers = f"confirmation {uuid4().hex}", count()
        self._trials, self._ask_at = -1, -math.inf
        self._expected_s = 0.0
        self._pace = self._new_pace()

    def seconds(self, budget_s: float) -> float:
        """Return the seconds of a budget to keep for confirmation: at most about a third."""
        now = time.monotonic()
        if len(self.history.records) != self._trials and now >= self._ask_at:
            self._trials = len(self.history.records)
            self._expected_s = len(self._wanted()) * self._seconds_a_point(self._new_pace())
            self._ask_at = now + (1 + _REST_AFTER_ASKING) * (time.monotonic() - now)
        return min(self._expected_s, _LARGEST_SHARE * budget_s)

    def run(self, deadline: float | None = None) -> list[Confirmed]:
        """Measure the plausible points and the baseline.

        Args:
            deadline: On :func:`time.monotonic`. If time is short, the least likely points are left
                out first.

        Returns:
            The confirmed points, by trial number.
        """
        left, points = self._wanted(), list[Point]()
        self._pace = self._new_pace(deadline)
        try:
            with waiting_until(deadline):
                # A baseline alone would publish nothing.
                most = len(left) if deadline is None else max(2, self._affordable(deadline))
                first, left = left[:most], left[most:]
                self._take_in(first, points, len(left))
                self.reason = self._measure(points, left, deadline)
        except DeviceBusyError as busy:
            _LOG.warning("the confirmation ended early: %s", busy)
        except KeyboardInterrupt as interruption:
            self.interruption = interruption
        if left:
            self.left_out = len(left)
            _LOG.warning(
                "%s of %s plausible points are left out, for lack of time (%s): `paretune confirm` "
                "measures all",
                len(left),
                len(left) + len(points),
                named_trials([each.number for each in left]),
            )
        fewest = min(_SHORTEST_LAUNCHES, self.evaluator.settings.launches)
        whole = [p for p in points if not p.entry.failure and len(p.entry.launches) >= fewest]
        return self._judgement.final(whole)

    def _wanted(self) -> list[TrialRecord]:
        """Return the trials to measure, those first that must not be left out."""
        if self.only is None:
            return to_confirm(self.history, self.best(self.history))
        points = [each for each in self.history.measured if each.number in self.only]
        return baseline_first(points, self.history)

    def _new_pace(self, deadline: float | None = None) -> ConfirmationPace:
        launch_s = self._launch_s() + self.evaluator.settings.min_seconds
        return ConfirmationPace(self.progress, launch_s, deadline)

    def _rounds(self) -> int:
        """Return the expected rounds of launches."""
        settings = self.evaluator.settings
        return min(settings.launches + _STABLE_ROUNDS, settings.max_launches)

    def _seconds_a_point(self, pace: ConfirmationPace) -> float:
        """Return the expected seconds per point."""
        return self._rounds() * pace.seconds("launch") + pace.seconds("quality")

    def _affordable(self, deadline: float, going: int = 0) -> int:
        """Return how many more points there is time for, beside those that are launched again."""
        left_s = deadline - time.monotonic()
        # All go on for as long as the new ones.
        left_s -= going * self._rounds() * self._pace.seconds("launch")
        return max(0, int(left_s / self._seconds_a_point(self._pace)))

    def _going(self, out: Collection[Entry]) -> list[Entry]:
        """Return what is launched again."""
        return [e for e in self._campaign.entries if not e.failure and e not in out]

    def _take_in(self, records: Sequence[TrialRecord], points: list[Point], waiting: int) -> None:
        """Evaluate the quality of trials on the test split, and add them to the points."""
        self._pace.expect(len(records), self._rounds(), waiting)
        for record in records:
            if (point := self._point(record)) is not None:
                points.append(point)
                self._campaign.entries.append(point.entry)

    def _launch_s(self) -> float:
        """Return the median seconds of a launch in the search."""
        spent = [
            record.stage_seconds["measure"] / record.measurement.launches
            for record in self.history.measured
            if record.measurement and "measure" in record.stage_seconds
        ]
        return float(np.median(spent)) if spent else _UNKNOWN_LAUNCH_S

    def _point(self, record: TrialRecord) -> Point | None:
        """Return a point with its quality on the test split, or ``None`` if that fails."""
        artifact = record.measurement.artifact if record.measurement else ""
        run = record.candidate.run
        job = Score(artifact, run, self.evaluator.samples)
        with self._pace.timing("quality", record):
            scored: Scored | Failure = done(self.executor, job, run)
        if isinstance(scored, Failure):
            self._drop(record, scored.message)
            return None
        return Point(
            record,
            Entry(artifact, run),
            scored.value,
            list(scored.resampled),
            scored.more,
            scored.answers,
        )

    def _launch(self, record: TrialRecord, entry: Entry) -> Launched | Failure:
        samples, number = self.evaluator.samples, next(self._numbers)
        job = Launch(entry.artifact, entry.run, samples, number, occasion=self._occasion)
        with self._pace.timing("launch", record):
            launched: Launched | Failure = done(self.executor, job, entry.run)
        return launched

    def _drop(self, record: TrialRecord, reason: str) -> None:
        """Log why a plausible point is not measured again."""
        _LOG.warning("trial %s is left out of the confirmation: %s", record.number, reason)

    def _measure(self, points: list[Point], left: list[TrialRecord], deadline: float | None) -> str:
        """Measure in rounds until every interval is tight, or the frontier cannot change.

        Clearly dominated points are left out of further rounds, once all have been launched often
        enough. From the first round on it is known how long a launch takes, and so for which
        further points there is time.

        Args:
            points: The points; further ones are added.
            left: Trials that become points if there is time; what stays in it had none.
            deadline: On :func:`time.monotonic`.

        Returns:
            Why no point is launched again, in words.
        """
        settings, campaign = self.evaluator.settings, self._campaign
        records = {point.entry: point.record for point in points}
        out: list[Entry] = []
        number, since, stable, before = 0, 1, 0, None
        while stable < _STABLE_ROUNDS:
            number += 1
            going = self._going(out)
            if left and deadline is not None and number > 1:
                most = self._affordable(deadline, len(going))
                if further := left[:most]:
                    del left[:most]
                    self._take_in(further, points, len(left))
                    records.update((point.entry, point.record) for point in points)
                    going, since, stable = self._going(out), number, 0
            unsettled = sum(not campaign.is_settled(entry) for entry in going)
            rounds = number - since + 1  # of all points together
            more = rounds_after(
                rounds, stable, settings.launches, settings.max_launches, _STABLE_ROUNDS
            )
            self._pace.begin_round(number, unsettled, len(going), more)
            if not campaign.round(lambda e: self._launch(records[e], e), out, deadline):
                is_late = deadline is not None and time.monotonic() >= deadline
                all_tight = "every interval is tight enough, or has the most launches"
                return "the time is over" if is_late else all_tight
            if rounds >= settings.launches:
                running = [p for p in points if p.entry.launches and not p.entry.failure]
                if not running:
                    return "no point runs"
                published, out = self._judgement.interim(running)
                stable = stable + 1 if published == before else 0
                before = published
        return f"the frontier of {len(points)} points stayed the same for {_STABLE_ROUNDS} rounds"
