"""The model as it was measured, behind requests of nested lists.

A request is ``{"inputs": {name: nested list}}`` in the model's own shapes, with any number of
samples; an answer is ``{"outputs": {name: nested list}}``.
"""

import figures
import model_session
import numpy as np

METADATA = {
    "name": figures.NAME,
    "runtime": figures.RUNTIME,
    "provider": figures.PROVIDERS[0][0],
    "providers": [name for name, _ in figures.PROVIDERS],
    "threads": figures.THREADS,
    "instances": figures.INSTANCES,
    "model_sha256": figures.MODEL_SHA256,
    "trial": figures.TRIAL,
}


class MeasuredModel:
    """A session that answers requests, several in one call where their shapes allow it."""

    def __init__(self):
        self._call = model_session.load()

    def answer(self, requests):
        """Return the answers to a list of requests, in order."""
        return [
            {"outputs": {name: value.tolist() for name, value in outputs.items()}}
            for outputs in self.run([self.decode(request["inputs"]) for request in requests])
        ]

    def decode(self, inputs):
        """Return arrays by name, with the constants of the model.

        Raises:
            ValueError: If an input is missing or unknown.
        """
        given = {**figures.CONSTANTS, **inputs}
        if set(given) != set(figures.INPUTS):
            raise ValueError(f"the model has the inputs {[*figures.INPUTS]}; got {[*inputs]}")
        return {name: np.asarray(given[name], dtype) for name, (dtype, _) in figures.INPUTS.items()}

    def run(self, feeds):
        """Return the outputs for a list of inputs by name: one call, if they fit together."""
        if not figures.HAS_BATCH_AXIS:
            return [self._call(feed) for feed in feeds]
        if not all(_shapes(feed) == _shapes(feeds[0]) for feed in feeds):
            return [self._in_batches(feed) for feed in feeds]
        sizes = [_samples(feed) for feed in feeds]
        outputs = self._in_batches({name: _joined(name, feeds) for name in figures.INPUTS})
        ends = np.cumsum(sizes)[:-1]
        parts = {
            name: np.split(outputs[name], ends, axis) for name, axis in figures.OUTPUTS.items()
        }
        return [{name: part[at] for name, part in parts.items()} for at in range(len(feeds))]

    def _in_batches(self, feed):
        """Call with all samples, or where the session has one batch size, with as many as that."""
        size, count = figures.FIXED_BATCH, _samples(feed)
        if size is None:
            return self._call(feed)
        found = []
        for start in range(0, count, size):
            # The last call is filled up with its last sample.
            rows = np.minimum(np.arange(start, start + size), count - 1)
            part = {
                name: array
                if name in figures.CONSTANTS
                else array.take(rows, figures.INPUTS[name][1])
                for name, array in feed.items()
            }
            found.append({name: value.copy() for name, value in self._call(part).items()})
        return {
            name: np.concatenate([each[name] for each in found], axis).take(np.arange(count), axis)
            for name, axis in figures.OUTPUTS.items()
        }


def _samples(feed):
    """Return the number of samples of a feed."""
    name = next(name for name in figures.INPUTS if name not in figures.CONSTANTS)
    return feed[name].shape[figures.INPUTS[name][1]]


def _shapes(feed):
    """Return the shapes of the inputs without the batch, and the values of the constants."""
    return [
        array.tobytes()
        if name in figures.CONSTANTS
        else array.shape[: figures.INPUTS[name][1]] + array.shape[figures.INPUTS[name][1] + 1 :]
        for name, array in feed.items()
    ]


def _joined(name, feeds):
    """Return an input of several feeds as one array."""
    if name in figures.CONSTANTS or len(feeds) == 1:
        return feeds[0][name]
    return np.concatenate([feed[name] for feed in feeds], figures.INPUTS[name][1])
