"""The log of executions: when each stage began on this machine, and when its output was kept."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

Event = Literal["started", "finished"]


class ExecutionLog:
    """A file with a line of JSON for each event; any number of processes may add to it.

    Args:
        path: The file; made by the first event.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, event: Event, stage: str, key: str) -> None:
        """Log that a stage begins, or that its output is kept."""
        entry = {"event": event, "stage": stage, "key": key, "pid": os.getpid(), "at": time.time()}
        log = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(log, f"{json.dumps(entry)}\n".encode())
        finally:
            os.close(log)

    def entries(self) -> list[dict[str, Any]]:
        """Return the events in order, without lines torn by a power cut."""
        entries = []
        for line in self._path.read_text("utf-8").splitlines() if self._path.exists() else []:
            with suppress(ValueError):
                entries.append(json.loads(line))
        return entries
