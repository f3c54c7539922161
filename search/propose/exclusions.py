"""Exclusions: parts of the space in which every trial fails for the same reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from paretune.search.record.history import History
from paretune.search.record.trial import STUDY_STAGE, TrialRecord
from paretune.spaces import Candidate, SearchSpace
from paretune.spaces.axes import Value
from paretune.spaces.axis import AXIS_NAMES, BUILD_AXES

Part = tuple[tuple[str, Value], ...]
"""Values of some axes; it stands for the candidates that have all of them."""

_RUN_AXES = ("execution_provider", "graph_optimization")
_MOST_AXES = 2
"""Axes whose values together may be excluded. Chosen by judgement."""

_OF_A_RUN = ("measure", "evaluate")


class GivenUp:
    """A learned rule: it excludes what keeps failing for the same reason.

    A part of the space, given by the values of one or two axes, is excluded once at least ``least``
    of its trials have failed for the same reason, none was measured or skipped, and the failed
    trials differ in every other axis that may matter, as far as the space's rules allow: then this
    part is to blame, and nothing else.

    Args:
        history: The study; read again at each call.
        space: The search space.
        least: The number of failures that is enough.
    """

    def __init__(self, history: History, space: SearchSpace, least: int) -> None:
        self.history = history
        self.space = space
        self.least = least
        self.parts: dict[Part, str] = {}
        self._failed = 0

    def __call__(self, candidate: Candidate) -> str | None:
        """Return why a candidate is excluded, or ``None``."""
        self.learn()
        if not self.parts:
            return None
        params = candidate.params
        return next((reason for part, reason in self.parts.items() if _has(params, part)), None)

    def learn(self) -> None:
        """Look for further exclusions, if more trials have failed."""
        if len(self.history.failed) == self._failed:
            return
        self._failed = len(self.history.failed)
        by_cause: defaultdict[str, list[TrialRecord]] = defaultdict(list)
        for record in self.history.failed:
            # Repeated deaths of the study's own process say nothing about a part of the space.
            if record.failure is not None and record.failure.stage != STUDY_STAGE:
                by_cause[record.failure.cause].append(record)
        for cause, records in by_cause.items():
            if len(records) >= self.least:
                self._blame(cause, records)

    def _blame(self, cause: str, records: Sequence[TrialRecord]) -> None:
        works = [r.candidate.params for r in (*self.history.measured, *self.history.skipped)]
        axes = [*BUILD_AXES]
        if records[0].failure is not None and records[0].failure.stage in _OF_A_RUN:
            axes += [*_RUN_AXES, *(a.name for a in self.space.axes if a.name not in AXIS_NAMES)]
        # All candidates share an axis with one value: blaming it would blame the whole space.
        axes = [axis for axis in axes if len(self.space.axis(axis).values) > 1]
        for part in _parts([record.candidate.params for record in records], axes):
            if any(set(known) <= set(part) for known in self.parts):
                continue
            inside = [r for r in records if _has(r.candidate.params, part)]
            if len(inside) < self.least or any(_has(params, part) for params in works):
                continue
            named = {axis for axis, _ in part}
            others = [axis for axis in axes if axis not in named]
            if all(self._is_no_reason(axis, inside) for axis in others):
                values = " and ".join(f"{axis} {value}" for axis, value in part)
                reason = f"{values}: all {len(inside)} trials failed for the same reason ({cause})"
                self.parts[part] = reason

    def _is_no_reason(self, axis: str, failed: Sequence[TrialRecord]) -> bool:
        """Tell whether failed trials differ in an axis, or cannot differ."""
        values = {record.candidate.params[axis] for record in failed}
        others = set(self.space.axis(axis).values) - values
        return len(values) > 1 or not any(
            self.space.reason_against(
                Candidate.from_params({**record.candidate.params, axis: other})
            )
            is None
            for record in failed
            for other in others
        )


def _parts(params: Sequence[dict[str, Value]], axes: Sequence[str]) -> Iterator[Part]:
    """Yield the parts that failed trials lie in, those of one axis first."""
    for count in range(1, _MOST_AXES + 1):
        for names in combinations(axes, count):
            yield from dict.fromkeys(tuple((n, each[n]) for n in names) for each in params)


def _has(params: dict[str, Value], part: Part) -> bool:
    return all(params[axis] == value for axis, value in part)
