"""The interface to the runtimes: each has a module with a ``Model`` and a ``describe()``."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

Job = dict[str, Any]
Node = dict[str, Any]
"""``node``, ``operator``, ``provider`` and ``ms_per_call`` of a node that ran."""


class Model(Protocol):
    """A model file, loaded by a runtime and ready for calls.

    A model may also have ``proof()``, which is asked for after everything was timed and tells what
    it ran on (the fields of ``LaunchProof``), and ``resident(feed)``, which returns a call whose
    data stays on the card, or ``None`` without one.

    Attributes:
        input_names: Names of its inputs, in order.
        has_fixed_batch: Whether every call must have the same number of samples.
    """

    input_names: list[str]
    has_fixed_batch: bool

    def feed(self, arrays: Sequence[Any]) -> Any:
        """Return the argument of a call, from one array per input."""

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Run once and return the outputs as arrays, finished and in the host's memory."""

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return every node that ran, with its provider and time, as the runtime reports it."""


def load(job: Job, **changes: Any) -> Model:
    """Load the job's model with the job's runtime."""
    model: Model = _module(job).load({**job, **changes})
    return model


def describe(job: Job) -> dict[str, Any]:
    """Return the providers of a runtime (``available``, ``known``) and its ``versions``."""
    import platform

    import numpy

    found: dict[str, Any] = _module(job).describe(job)
    found["versions"] |= {"python": platform.python_version(), "numpy": numpy.__version__}
    return found


def _module(job: Job) -> Any:
    """Return the module of the job's runtime, loaded from its file.

    It becomes one of this package, wherever it lies: so ``from .refusal import refuse`` works.
    """
    path = Path(job["backend"])
    name = f"{__package__}.runtime_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"the runtime's file {path} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
