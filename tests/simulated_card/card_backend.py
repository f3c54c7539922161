"""A SIMULATED runtime on a simulated card: it doubles numbers on the processor and calls it CUDA.

It plays what a real card does wrong. Which of it is the provider's option `plays`:

- `fall_back`: at the fifth call a node has no kernel there, and a runtime would go elsewhere;
- `throttle`: the card gets hot while it is timed, and slows down;
- `power_cap`: the card is held at its power limit;
- `neighbour`: another process computes there meanwhile;
- `container`: the process is in a container, so the driver knows it by another number;
- `host_node`: the profile has a node that ran on the processor;
- `out_of_memory`: the card has too little memory;
- `hang`: the engine's build never ends;
- `lose`: the card falls off the bus at the fifth call.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from .backend import Job, Node
from .refusal import refuse

PROVIDER = "SimulatedCUDA"
_LATE = 5


class SimulatedModel:
    """A model that doubles its input."""

    has_fixed_batch = False
    input_names = ("input",)

    def __init__(self, job: Job) -> None:
        self.plays = job["options"].get("plays", "")
        self.calls = 0
        # The launch loaded the simulated library by its path, under this name.
        self.card = sys.modules.get("paretune_pynvml")
        if self.plays == "hang":
            time.sleep(600)
        if self.plays == "out_of_memory":
            error = RuntimeError(
                "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc(&p, size)"
            )
            raise refuse("the simulated runtime cannot load the model", error)
        if self.card is not None:
            # The driver lists the process by its number, in a container by one of the host's.
            number = 70001 if self.plays == "container" else os.getpid()
            self.card.change(memory=1_500_000_000, processes={number: 900_000_000})

    def feed(self, arrays: Sequence[Any]) -> Any:
        return arrays[0]

    def __call__(self, feed: Any) -> Sequence[Any]:
        self.calls += 1
        if self.card is not None:
            self.card.change(energy=self.card.said("energy") + 30)
        if self.calls == _LATE:
            self._play()
        return [feed * 2]

    def profile(self, feed: Any, calls: int) -> list[Node]:
        self(feed)
        node = {"node": "double", "operator": "Mul", "provider": PROVIDER, "ms_per_call": 0.1}
        host = {**node, "node": "unique_3", "operator": "Unique", "provider": "SimulatedCPU"}
        return [node, host] if self.plays == "host_node" else [node]

    def _play(self) -> None:
        if self.plays == "lose":
            raise RuntimeError("CUDA error: device lost")
        if self.plays == "fall_back":
            raise RuntimeError("EPFail: node unique_3 (Unique) has no kernel for SimulatedCUDA")
        if self.card is None:
            return
        if self.plays == "throttle":
            self.card.change(reasons=0x28, temperature=91, clock=1200)
        if self.plays == "power_cap":
            self.card.change(reasons=0x04)
        if self.plays == "neighbour":
            self.card.change(process_utilization=[[os.getpid(), 60], [4242, 40]])


def load(job: Job) -> SimulatedModel:
    return SimulatedModel(job)


def describe(job: Job) -> dict[str, Any]:
    return {"available": [PROVIDER], "known": [PROVIDER], "versions": {"simulated": "0"}}
