"""A child process with a deadline per step, ended with all its children, whose end is a value."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from paretune.runners.failure import Failure, FailureKind, log_end

_LOOK_S = 0.2
"""Seconds between looks for the start of a process, and so how late its deadline may begin."""

_STEP_LOOK_S = 1.0
"""Seconds between looks for the end of a step."""

_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory")


def run_job(
    script: Path,
    job: Mapping[str, Any],
    folder: Path,
    *,
    stage: str,
    timeout_s: float,
    start_s: float = 0.0,
    python: Path = Path(sys.executable),
    lease: Sequence[int] = (),
) -> dict[str, Any] | Failure:
    """Run a launch script on a job in a fresh process and return its result.

    Args:
        script: The script; it reads a job file and writes ``result.json`` next to it.
        job: The job, as plain values.
        folder: Folder for the job, its result and its log.
        stage: Name of the stage, for failures.
        python: The interpreter to run it in.
        lease: Descriptors of a device's lease, which the process inherits.
        timeout_s: Deadline in seconds; then the process and all its children are killed. It begins
            anew whenever the process has touched a file ``alive`` next to its job: each step (the
            model loaded, a batch computed) has a deadline, and the work may have any number of
            steps.
        start_s: Further seconds for the start: the deadline begins when the process has written a
            file ``started`` next to its job, or when these seconds are over.

    Returns:
        The result's values, or why there are none.
    """
    job_path, result_path, log_path, started, alive = (
        folder / name for name in ("job.json", "result.json", "child.log", "started", "alive")
    )
    for earlier in (result_path, started, alive):
        earlier.unlink(missing_ok=True)
    job_path.write_text(json.dumps({**job, "parent": os.getpid()}), "utf-8")
    if not python.is_file():
        return Failure(stage, FailureKind.UNSUPPORTED, f"there is no interpreter {python}")
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [str(python), str(script), str(job_path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(lease),
        )
        try:
            code = _wait(process, timeout_s, alive, started, start_s)
        except subprocess.TimeoutExpired:
            starting = f" and {start_s:g} s to start" if start_s and not started.exists() else ""
            what = "the next call has not ended" if alive.exists() else "no result"
            message = (
                f"{what} after {timeout_s:g} s{starting}; if it needs longer, raise "
                "measurement.timeout_s"
            )
            return Failure(stage, FailureKind.TIMEOUT, message, _tail(log_path))
        finally:
            _kill_group(process)
    if code != 0 or not result_path.is_file():
        kind, message = _reason(code, _tail(log_path))
        return Failure(stage, kind, message, _tail(log_path))
    result: dict[str, Any] = json.loads(result_path.read_text("utf-8"))
    if "failure" in result:
        refused = result["failure"]
        return Failure(stage, FailureKind(refused["kind"]), refused["message"], _tail(log_path))
    return result


def _wait(
    process: subprocess.Popen[bytes], timeout_s: float, alive: Path, started: Path, start_s: float
) -> int:
    """Wait for the end of a process and return its exit code.

    Raises:
        subprocess.TimeoutExpired: If the deadline has passed.
    """
    latest = time.monotonic() + start_s
    while start_s and time.monotonic() < latest and not started.exists():
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_LOOK_S)
    seen, deadline = 0, time.monotonic() + timeout_s
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(max(0.0, min(_STEP_LOOK_S, deadline - time.monotonic())))
        now = time.monotonic()
        if (sign := _time_of(alive)) != seen:
            seen, deadline = sign, now + timeout_s
        elif now >= deadline:
            raise subprocess.TimeoutExpired(process.args, timeout_s)


def _time_of(path: Path) -> int:
    """Return when a file was last written; 0 if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(code: int, log: str) -> tuple[FailureKind, str]:
    if code == -signal.SIGABRT and any(sign in log for sign in _OUT_OF_MEMORY):
        return FailureKind.OUT_OF_MEMORY, "the process exceeded its memory limit"
    if code == -signal.SIGKILL:
        return (
            FailureKind.OUT_OF_MEMORY,
            "the process was killed, most likely because memory ran out",
        )
    if code < 0:
        return FailureKind.CRASH, f"the process was ended by {signal.Signals(-code).name}"
    return FailureKind.CRASH, f"the process ended with exit code {code} and without a result"


def _tail(path: Path) -> str:
    return log_end(path.read_text("utf-8", errors="replace"))
