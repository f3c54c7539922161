"""A log of requests as a source: CSV or JSON lines, read to its end or followed."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from paretune.search.deliver.watch.observation import Request
from paretune.search.deliver.watch.sources.log_columns import LogColumns
from paretune.spaces import StudyError

_POLL_S = 0.25
"""Seconds between two looks at a file that has no more lines. Chosen by judgement."""


class LogFile:
    """Reads requests from a file, line by line.

    A file whose first line is a JSON object has one per line; another one is CSV, and its first
    line names the columns. Lines that cannot be read are counted and left out, unless nothing could
    be read before.

    Args:
        path: The file.
        columns: Where it has what.
        features: The names of the features to look for in each row.
        follow: Whether to wait for more at the end, also when the file is replaced by a new one or
            emptied (as ``logrotate`` does).
        stop: Asked while waiting; ends the reading if it says so.

    Attributes:
        unread: Lines that could not be read.
    """

    def __init__(
        self,
        path: Path,
        columns: LogColumns,
        features: frozenset[str] = frozenset(),
        *,
        follow: bool = False,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._path, self._columns, self._features = path, columns, features
        self._follow, self._stop = follow, stop
        self._header: list[str] | None = None
        self._is_json: bool | None = None
        self._has_read = False
        self.unread = 0

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests.

        Raises:
            StudyError: If the file is missing, or its first row has not what is needed.
        """
        for line in self._lines():
            if not line.strip():
                continue
            try:
                row = self._row(line)
                if row is None:
                    continue
                request = self._columns.request(row, self._features)
            except (ValueError, csv.Error) as error:
                if not self._has_read:
                    raise StudyError(self._unusable(error)) from error
                self.unread += 1
                continue
            self._has_read = True
            yield request

    def _unusable(self, error: Exception) -> str:
        there = f" It has the columns {', '.join(self._header)}." if self._header else ""
        return (
            f"cannot read requests from {self._path}: {error}.{there} A row needs a time and a "
            "latency: name the columns, such as `--column time=ts --column latency_s=request_time`"
        )

    def _row(self, line: str) -> dict[str, Any] | None:
        """Return a line's values; ``None`` for the header."""
        if self._is_json is None:
            self._is_json = line.lstrip().startswith("{")
        if self._is_json:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError("a line must be a JSON object")
            self._header = self._header or list(values)
            return values
        cells = next(csv.reader([line], skipinitialspace=True))
        if self._header is None or cells == self._header:
            self._header = cells
            return None
        if len(cells) != len(self._header):
            raise ValueError(f"a row has {len(cells)} cells, but the header {len(self._header)}")
        return dict(zip(self._header, cells, strict=True))

    def _lines(self) -> Iterator[str]:
        """Yield whole lines; the last one of a file that is not followed may lack its end."""
        try:
            file: TextIO = self._path.open(encoding="utf-8", errors="replace")
        except OSError as error:
            raise StudyError(f"cannot read the log {self._path}: {error.strerror}") from error
        part = ""
        try:
            while True:
                text = file.readline()
                part += text
                if part.endswith("\n"):
                    yield part
                    part = ""
                elif not text:
                    if not self._follow or self._stop():
                        break
                    if (renewed := self._renewed(file)) is not None:
                        file.close()
                        file, part = renewed, ""
                        continue
                    time.sleep(_POLL_S)
        finally:
            file.close()
        if part:
            yield part

    def _renewed(self, file: TextIO) -> TextIO | None:
        """Return the file that has taken the place of another, opened; ``None`` if none has."""
        try:
            now, then = self._path.stat(), os.fstat(file.fileno())
        except OSError:
            return None  # between the removal of the old one and the creation of the new one
        is_another = (now.st_ino, now.st_dev) != (then.st_ino, then.st_dev)
        if is_another or now.st_size < file.tell():
            self._header = None if not self._is_json else self._header
            return self._path.open(encoding="utf-8", errors="replace")
        return None
