"""Feeds of any number of requests, cut out of one longer batch."""

from typing import Any

from .. import samples
from ..backend import Job, Model

_BATCHES = 2
"""Full batches that the longer one holds. Chosen by judgement."""


class RequestFeeds:
    """Feeds of one to ``most`` requests.

    Neighbouring requests of one array are cut out without copying them, where the batch is the
    first axis: what it costs to gather requests is the server's, not the model's.

    Args:
        job: The job.
        model: The model. If it has a fixed batch, every feed is filled up to it.
        most: Most requests in a feed.

    Raises:
        RefusedError: If the model takes one sample per call, and ``most`` is more.
    """

    def __init__(self, job: Job, model: Model, most: int) -> None:
        self.most = most
        self._model = model
        self._given = samples.Inputs(job, model)
        self._is_filled = model.has_fixed_batch
        self._single: list[Any] = []
        count = len(self._given)
        if most == 1:
            self._single = [self._given.feed(rows) for rows in samples.batches(count, 1)]
        else:
            (rows,) = samples.batches(count, _BATCHES * most, 1)[:1]
            self._arrays = self._given.arrays(rows)

    def feed(self, count: int, turn: int) -> Any:
        """Return the argument of a call with so many requests; others with another turn."""
        if self._single:
            return self._single[turn % len(self._single)]
        size = self.most if self._is_filled else count
        start = turn % ((_BATCHES - 1) * self.most + 1)
        return self._model.feed(self._given.cut(self._arrays, start, start + size))
