"""The learning set: the trials of a long study that surrogates learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_LEARNED = 250
"""Trials that surrogates learn from at most. A Gaussian process takes time with the third power.
Evidence: with it, `overhead.py` and `sampler_cost.py` hold the cost of a proposal at 1,000 trials;
how it acts on the frontier is untested.
"""

_FIRST, _LATEST = 10, 50
"""First and latest trials that are always learned from: the first bound the rest, and the latest
are where the search is now. Chosen by judgement.
"""


def learning_set(count: int, front: Sequence[int]) -> list[int]:
    """Return the places of the trials to learn from, in order.

    All of them up to :data:`MOST_LEARNED`; then the first, the latest, those on the frontier and,
    as far as there is room, a random sample of the rest.

    Args:
        count: How many trials were measured.
        front: The places of those on the frontier.
    """
    if count <= MOST_LEARNED:
        return list(range(count))
    rng = np.random.default_rng(count)
    kept = dict.fromkeys([*range(_FIRST), *range(count - _LATEST, count)])
    kept |= dict.fromkeys(rng.permutation(front).tolist())
    kept |= dict.fromkeys(rng.permutation(count).tolist())
    return sorted(list(kept)[:MOST_LEARNED])
