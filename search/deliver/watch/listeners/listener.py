"""Listeners: where a watch tells what happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from paretune.search.deliver.watch.event import Event
from paretune.search.deliver.watch.watcher import State


@dataclass(frozen=True)
class Watched:
    """What is watched: the labels of everything that a watch tells.

    Attributes:
        study: The study's name.
        trial: The trial's number.
        digest: The SHA-256 of the model's file.
    """

    study: str
    trial: int
    digest: str

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, object]) -> Watched:
        """Return what a bundle's manifest names."""
        model = manifest["model"]
        digest = model["sha256"] if isinstance(model, Mapping) else ""
        return cls(str(manifest["study"]), int(str(manifest["trial"])), str(digest))

    @property
    def labels(self) -> dict[str, str]:
        """The labels; the digest shortened to twelve digits."""
        return {"study": self.study, "trial": str(self.trial), "digest": self.digest[:12]}


class Listener(Protocol):
    """Is told of events as they happen. It must not block the watch, nor raise."""

    def tell(self, event: Event) -> None:
        """Take an event."""

    def update(self, state: State) -> None:
        """Take the state of the watch; called after every block of requests or so."""

    def close(self) -> None:
        """Finish what was begun."""


class Lines:
    """Prints a line per event.

    Args:
        write: Prints a line.
        as_line: Returns an event as a line; by default :attr:`Event.line`.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        as_line: Callable[[Event], str] = lambda event: event.line,
    ) -> None:
        self._write, self._as_line = write, as_line

    def tell(self, event: Event) -> None:
        """Print the event."""
        self._write(self._as_line(event))

    def update(self, state: State) -> None:
        """Print nothing."""

    def close(self) -> None:
        """Do nothing."""
