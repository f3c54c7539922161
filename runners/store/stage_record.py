"""The record of a stage: what one execution made, and out of what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageRecord:
    """The result of one execution of a stage.

    Attributes:
        stage: Name of the stage.
        key: Digest of all that the stage and those before it read.
        params: The stage's parameters.
        parent: Digest of the output that it started from, or ``None`` for the first stage.
        output: Digest of its output, a file or an artifact; empty for a stage that only yields
            metrics.
        seconds: Wall-clock time it took.
        metrics: Metrics it observed, such as the quality reached.
        train_losses: The mean training loss of each epoch, if it trained.
        notes: What a person should know of it, such as layers that were not pruned.
    """

    stage: str
    key: str
    params: Mapping[str, Any]
    parent: str | None
    output: str
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_losses: Sequence[float] = field(default_factory=list)
    notes: Sequence[str] = field(default_factory=list)


def read_record(text: str, key: str) -> StageRecord | None:
    """Return the record that a text is; ``None`` for a torn one, or for that of another stage."""
    try:
        record = StageRecord(**json.loads(text))
    except (ValueError, TypeError):
        return None
    return record if record.key == key else None
