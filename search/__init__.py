"""Decide, remember, choose: the study loop, the frontier, the pick, the tracking.

>>> import search
>>> search.run("study.yaml", trials=50)           # doctest: +SKIP
>>> search.frontier("study.yaml")                 # doctest: +SKIP
>>> search.pick("study.yaml", max_latency_ms=5)   # doctest: +SKIP

Names are imported when they are first used: ``import search`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runners.devices import devices
    from search.api import (
        confirm,
        doctor,
        frontier,
        onnx_study,
        pick,
        report,
        run,
        status,
        sync,
        verify,
    )

__all__ = [
    "confirm",
    "devices",
    "doctor",
    "frontier",
    "onnx_study",
    "pick",
    "report",
    "run",
    "status",
    "sync",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    return getattr(
        importlib.import_module("runners.devices" if name == "devices" else "search.api"), name
    )
