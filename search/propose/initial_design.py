"""The first candidates of a search: they cost little and bound the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

from paretune.spaces import REFERENCE, Candidate, SearchSpace
from paretune.spaces.axes import Value
from paretune.spaces.axis import AXIS_NAMES


def run_ends(space: SearchSpace, batch_size: int | None = None) -> list[dict[str, Value]]:
    """Return all combinations of the run axes' ends: threads, provider and batch size.

    The fewest threads come before the most; with each, the last provider before the first, and the
    largest batch size before the smallest.

    Args:
        space: The search space.
        batch_size: The only batch size of interest, if there is one.
    """
    names = ("intra_op_threads", "execution_provider", "batch_size")
    ends = [dict.fromkeys((space.axis(n).values[-1], space.axis(n).values[0])) for n in names]
    if batch_size is not None:
        ends[2] = {batch_size: None}
    ways = product(reversed([*ends[0]]), *ends[1:])
    return [dict(zip(names, way, strict=True)) for way in ways]


def first_candidates(
    space: SearchSpace, ways: Sequence[Mapping[str, Value]], batch_size: int | None = None
) -> list[Candidate]:
    """Return the first candidates to try, beginning with the baseline.

    Args:
        space: The search space.
        ways: Run settings (see :func:`run_ends`), used in turn after the first quantized candidate;
            each candidate keeps its back end.
        batch_size: The only batch size of interest, if there is one; the baseline keeps its own.
    """
    fixed: dict[str, Value] = {} if batch_size is None else {"batch_size": batch_size}
    last = space.axis("student").values[-1]
    others = [axis for axis in space.axes if axis.name not in AXIS_NAMES]
    ends = [dict.fromkeys((axis.values[-1], axis.values[0])) for axis in others]
    settings: list[dict[str, Value]] = []
    for each, values in product(ways, product(*ends)):
        kept = {name: value for name, value in each.items() if name != "execution_provider"}
        kept |= zip((axis.name for axis in others), values, strict=True)
        if kept not in settings:
            settings.append(kept)
    first: list[Candidate] = []
    # Per back end; on the baseline's own, the first quantized candidate runs as the baseline does.
    turns = Counter({space.baseline.run.target: -1})
    for candidate in space.informative():
        build = candidate.build
        if build.student not in (REFERENCE, last) or build.pruning_ratio > 0:
            continue
        turn, way = turns[candidate.run.target], {}
        if turn >= 0 and build != space.baseline.build:
            way = settings[turn % len(settings)]
        turns[candidate.run.target] += build != space.baseline.build
        if candidate != space.baseline:
            way = {**way, **fixed}
        # What the back end has no axis for is left out.
        kept = {n: v for n, v in way.items() if n in AXIS_NAMES}
        varied = [Candidate.from_params({**candidate.params, **each}) for each in (way, kept)]
        fits = [each for each in varied if space.reason_against(each) is None]
        first.append(next(iter(fits), candidate))
    return first
