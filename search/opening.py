"""The opening of a search: candidates that cost little and bound the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from spaces import REFERENCE, Candidate, SearchSpace
from spaces.axis import Value


def run_ends(space: SearchSpace) -> list[dict[str, Value]]:
    """Return the ends of the run axes, all together: most threads with either batch first."""
    names = ("intra_op_threads", "execution_provider", "batch_size")
    ends = [dict.fromkeys((space.axis(n).values[-1], space.axis(n).values[0])) for n in names]
    ways = product(reversed([*ends[0]]), *ends[1:])
    return [dict(zip(names, way, strict=True)) for way in ways]


def first_candidates(space: SearchSpace, ways: Sequence[Mapping[str, Value]]) -> list[Candidate]:
    """Return what is tried first, the baseline before all."""
    last = space.axis("student").values[-1]
    first: list[Candidate] = []
    for candidate in space.informative():
        build = candidate.build
        if build.student not in (REFERENCE, last) or build.pruning_ratio > 0:
            continue
        way = ways[(len(first) - 2) % len(ways)] if len(first) >= 2 else {}
        varied = Candidate.from_params({**candidate.params, **way})
        first.append(candidate if space.reason_against(varied) else varied)
    return first
