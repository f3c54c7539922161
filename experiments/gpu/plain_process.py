"""A process with a plain loop (plain_loop.py), which waits until it is asked to time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("plain_loop.py")


class PlainProcess:
    """A loaded model that times itself on request; end it with ``with``.

    Args:
        python: The interpreter with the runtime.
        provider: The execution provider.
        model: The model file.
        inputs: The file of samples.
        batch_size: Samples in a call.
        options: Options of the provider.
        cores: The cores to run on; all if empty.
        threads: Threads per operator.
    """

    def __init__(
        self,
        python: str | Path,
        provider: str,
        model: Path,
        inputs: Path,
        batch_size: int,
        options: Mapping[str, str],
        cores: Sequence[int] = (),
        threads: int = 1,
    ) -> None:
        given = [provider, model, inputs, batch_size, json.dumps(dict(options)), threads]
        self._process = subprocess.Popen(
            [str(part) for part in (python, SCRIPT, *given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores) if cores else None,
        )
        self._read("ready")

    def time(self, warmup_s: float, seconds: float) -> dict[str, Any]:
        """Return ``p50_ms`` and ``p95_ms``, ``resident_p50_ms`` and ``events_p50_ms``."""
        return self._ask(f"time {warmup_s} {seconds}", "p50_ms")

    def answers(self, path: Path) -> None:
        """Save the first output for all inputs."""
        self._ask(f"answers {path}", "answers")

    def __enter__(self) -> PlainProcess:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: str, key: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return self._read(key)

    def _read(self, key: str) -> dict[str, Any]:
        """Return the next answer; a runtime may print lines of its own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{") and key in (found := json.loads(line)):
                return dict(found)
        sys.exit(f"the plain loop ended with exit code {self._process.wait()}")
