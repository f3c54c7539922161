"""Searches that a tool starts: processes of their own, which outlive the call and the server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretune.search.cli.values.status import StatusValues, status_values
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import read_study_file
from paretune.search.storage.lock import exclusive
from paretune.spaces import StudyError

_END_OF_LOG = 2000
"""Characters of a log that are told when a search ended before there was a study."""


@dataclass(frozen=True)
class Started:
    """A search that was started.

    Attributes:
        process: Its process.
        log: What it prints.
        options: The options it was started with.
    """

    process: subprocess.Popen[bytes]
    log: Path
    options: Mapping[str, Any]


class BackgroundSearches:
    """The searches that this server started, by their study's resolved path."""

    def __init__(self) -> None:
        self._started: dict[Path, Started] = {}

    def start(self, study: Path, options: Mapping[str, Any]) -> Started:
        """Start ``paretune search`` on a study, and return at once.

        Args:
            study: The study file.
            options: Options of the command, by name without dashes; ``None`` leaves one out.

        Raises:
            ConfigError: If the study file has mistakes.
            StudyError: If the study is being searched, by any process on this machine.
        """
        paths = StudyPaths(read_study_file(study), study)
        self._refuse_second(paths)
        command = [sys.executable, "-m", "paretune", "search", str(paths.study_file)]
        for name, value in options.items():
            if value is not None:
                command += [f"--{name.replace('_', '-')}", str(value)]
        log = paths.logs / "search.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as printed:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONIOENCODING": "utf-8"},
                # A client ends the server with all processes of its group.
                start_new_session=True,
            )
        self._started[paths.study_file] = started = Started(process, log, options)
        return started

    def status(self, study: Path) -> StatusValues:
        """Return the progress of a study, also of a search that has just been started.

        Raises:
            ParetuneError: If the study file has mistakes, the study has not been started, or its
                search ended before it began.
        """
        started = self._started.get(study.resolve())
        code = None if started is None else started.process.poll()
        try:
            return status_values(study)
        except StudyError:
            if started is None:
                raise
            if code is not None:
                end = started.log.read_text("utf-8", errors="replace")[-_END_OF_LOG:].strip()
                raise StudyError(
                    f"the search ended before its first trial, with exit code {code}; the end of "
                    f"{started.log}:\n{end}"
                ) from None
        return _starting(study, started)

    def _refuse_second(self, paths: StudyPaths) -> None:
        started = self._started.get(paths.study_file)
        if started is not None and started.process.poll() is None:
            # It may not have come as far as its lock.
            raise StudyError(
                f"this study is being searched by process {started.process.pid}; wait for it or "
                "end it first"
            )
        if paths.lock.exists():
            with exclusive(paths.lock):
                pass


def _starting(study: Path, started: Started) -> StatusValues:
    """Return the progress of a search whose process has not yet begun the study."""
    config = read_study_file(study)
    return StatusValues(
        study=str(study),
        name=config.name,
        state="starting",
        is_running=True,
        process=f"process {started.process.pid}",
        ended=None,
        budget_trials=started.options.get("trials") or config.budget.trials,
        budget_hours=started.options.get("hours") or config.budget.hours,
        time_left_s=None,
        trials=0,
        measured=0,
        skipped=0,
        failed=0,
        on_frontier=0,
        confirmed=0,
        published=0,
        quality_metric="",
        best=None,
        hypervolume=None,
        stages={},
        saved_seconds=0.0,
        machine_drift=None,
        failures=[],
    )
