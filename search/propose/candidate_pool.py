"""The candidates that a strategy scores: neighbours of the frontier, and a sample of the space."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from paretune.spaces import Candidate, SearchSpace

_ENUMERATED = 50_000
"""Largest space whose candidates are all listed: drawing from a list costs less than making new
candidates each time (`overhead.py`: 55 ms per trial at trial 1,000 instead of 112).
"""

_SCORED = 1_200
"""Candidates drawn at random, and neighbours of the frontier, per pool. Evidence: `overhead.py`
holds the cost of a trial to 100 ms at 1,000 trials; how this acts on the frontier is untested.
"""


class CandidatePool:
    """Draws candidates to score.

    Args:
        space: The search space.
        batch_size: The wished batch size, if there is one. Others are drawn only when no candidate
            of this size is left.
    """

    def __init__(self, space: SearchSpace, batch_size: int | None = None) -> None:
        self.space = space
        self.batch_size = batch_size
        self._near: dict[Candidate, list[Candidate]] = {}

    def draw(
        self,
        front: Sequence[Candidate],
        is_free: Callable[[Candidate], bool],
        rng: random.Random,
    ) -> list[Candidate]:
        """Return free candidates; none if none is left.

        Args:
            front: The candidates on the frontier.
            is_free: Whether a candidate keeps the rules and was not tried.
            rng: The source of chance.
        """
        found = self._draw(front, is_free, rng, self.batch_size)
        if found or self.batch_size is None:
            return found
        return self._draw(front, is_free, rng, None)

    def _draw(
        self,
        front: Sequence[Candidate],
        is_free: Callable[[Candidate], bool],
        rng: random.Random,
        batch_size: int | None,
    ) -> list[Candidate]:
        def fits(candidate: Candidate) -> bool:
            return batch_size in (None, candidate.run.batch_size) and is_free(candidate)

        if self._everyone is not None:
            valid = filter(fits, rng.sample(self._everyone, len(self._everyone)))
            drawn = list(islice(valid, _SCORED))
        else:
            fixed = {} if batch_size is None else {"batch_size": batch_size}
            values = [
                {a.name: rng.choice(a.values) for a in self.space.axes} | fixed
                for _ in range(_SCORED)
            ]
            drawn = [Candidate.from_params(params) for params in values]
        near = [other for candidate in front for other in self._neighbours(candidate)]
        near = near if len(near) <= _SCORED else rng.sample(near, _SCORED)
        free = list(filter(fits, dict.fromkeys([*near, *drawn])))
        if free or self._everyone is not None:
            return free
        return list(islice(filter(fits, self.space.candidates()), _SCORED))

    @cached_property
    def _everyone(self) -> list[Candidate] | None:
        """All candidates, unless there are too many to list; rules may change meanwhile."""
        space = replace(self.space, rules=())
        return None if space.size > _ENUMERATED else list(space.candidates())

    def _neighbours(self, candidate: Candidate) -> list[Candidate]:
        """Return the candidates that differ in one axis, by one step or in a name.

        They are kept: most of the frontier is the same the next time.
        """
        if candidate not in self._near:
            self._near[candidate] = list(self._steps(candidate))
        return self._near[candidate]

    def _steps(self, candidate: Candidate) -> Iterator[Candidate]:
        params = candidate.params
        for axis in self.space.axes:
            at = axis.values.index(params[axis.name])
            near = axis.values[max(at - 1, 0) : at + 2] if axis.is_ordered else axis.values
            for value in near:
                if value != params[axis.name]:
                    yield Candidate.from_params({**params, axis.name: value})
