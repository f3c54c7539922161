"""How far a training is, told while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """A finished epoch.

    Attributes:
        number: The epoch, from 1.
        count: Epochs that the training may take; it may stop earlier.
        loss: Its mean loss.
        seconds_left: The time for the rest, if all epochs are needed; ``None`` if unknown.
        quality: Quality on the validation split after it; ``None`` if it was not judged.
    """

    number: int
    count: int
    loss: float
    seconds_left: float | None = None
    quality: float | None = None


_listeners: list[Callable[[Epoch], None]] = []


@contextmanager
def listening(listener: Callable[[Epoch], None]) -> Iterator[None]:
    """Let a function know of every epoch in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report_epoch(epoch: Epoch) -> None:
    """Tell how far the training is; a workload's own ``train()`` may call it too."""
    for listener in _listeners:
        listener(epoch)
