"""A failure is a value: a candidate that cannot be built or measured is data, not an error."""

import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

_LOG_CHARACTERS = 4000
"""Characters of a process's log that a failure keeps: its end, which holds the error."""


class FailureKind(StrEnum):
    """The kind of a failure."""

    CRASH = "crash"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    UNSUPPORTED = "unsupported"
    INVALID = "invalid"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a candidate has no measurement.

    Attributes:
        stage: Where it happened: a build stage's name, ``"evaluate"`` or ``"measure"``.
        kind: The kind of failure.
        message: The reason, in words that people understand, with the next step if there is one.
        log: The end of what the process printed, if it printed anything; not part of the cause.
    """

    stage: str
    kind: FailureKind
    message: str
    log: str = ""

    @property
    def cause(self) -> str:
        """The failure without details that differ between candidates (numbers, paths, digests).

        Two failures with the same cause have the same fix.
        """
        return re.sub(r"(/[^\s'\"]+)+|\b[0-9a-f]{12,}\b|'[^']*'|\d+(\.\d+)?", "…", self.words)

    @property
    def words(self) -> str:
        """The stage, the kind, and the first line of the message."""
        return f"{self.stage}: {self.kind}: {self.message.partition(chr(10))[0]}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Failure":
        """Undo :meth:`as_dict`."""
        return cls(**{**values, "kind": FailureKind(values["kind"])})


def log_end(log: str) -> str:
    """Return the end of a process's log, from the beginning of a line."""
    end = log[-_LOG_CHARACTERS:]
    _, _, lines = end.partition("\n")
    return end if len(log) == len(end) or not lines else lines


class StageError(Exception):
    """Raised inside a stage or a runner, and converted to a :class:`Failure` at their boundary.

    Attributes:
        kind: The kind of the failure.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
