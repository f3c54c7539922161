"""A runtime in numpy, for the process that is timed: perceptrons, a matrix per layer."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .refusal import refuse


class Perceptron:
    """Layers of a file that ``extensions.export`` wrote; ``row_block`` rows are done at a time."""

    input_names = ("input",)
    has_fixed_batch = False

    def __init__(self, job: dict[str, Any]) -> None:
        try:
            with np.load(job["model"]) as file:
                count = len(file.files) // 3
                self.layers = [
                    (file[f"weight_{n}"] * file[f"scale_{n}"], file[f"bias_{n}"])
                    for n in range(count)
                ]
        except Exception as error:
            raise refuse("the model cannot be read", error, "invalid") from error
        self.provider = job["execution_provider"]
        self.rows = job["axes"].get("row_block", 1)

    def feed(self, arrays: Sequence[Any]) -> Any:
        return arrays[0]

    def __call__(self, feed: Any) -> Sequence[Any]:
        blocks = [feed[at : at + self.rows] for at in range(0, len(feed), self.rows)]
        return [np.concatenate([self._run(block)[0] for block in blocks])]

    def profile(self, feed: Any, calls: int) -> list[dict[str, Any]]:
        spent = np.mean([self._run(feed)[1] for _ in range(calls)], axis=0)
        return [
            {
                "node": f"layer_{n}",
                "operator": "Linear",
                "provider": self.provider,
                "ms_per_call": 1e3 * float(seconds),
            }
            for n, seconds in enumerate(spent)
        ]

    def _run(self, values: Any) -> tuple[Any, list[float]]:
        spent = []
        for place, (weight, bias) in enumerate(self.layers):
            started = time.perf_counter()
            if place:
                values = np.maximum(values, 0)
            values = values @ weight.T + bias
            spent.append(time.perf_counter() - started)
        return values, spent


def load(job: dict[str, Any]) -> Perceptron:
    return Perceptron(job)


def describe(job: dict[str, Any]) -> dict[str, Any]:
    return {"available": ["cpu"], "known": ["cpu"], "versions": {"toy": "1.0"}}
