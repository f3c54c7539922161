"""A terminal for tests: a command runs in a pseudo-terminal, and an emulator shows its screen."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pyte


class Terminal:
    """A running command and its screen.

    Args:
        arguments: Of ``paretune``.
        columns: The terminal's width.
        rows: Its height.
        environment: Changes of the environment.
    """

    def __init__(
        self,
        *arguments: str | Path,
        columns: int,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "paretune", *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env | {"TERM": "xterm-256color"} | dict(environment or {}),
            start_new_session=True,
        )
        os.close(slave)

    def frames(self) -> Iterator[list[str]]:
        """Yield the screen's lines after everything that the command writes, until it ends."""
        while True:
            try:
                written = os.read(self._master, 65536)
            except OSError:  # how Linux says that nobody writes any more
                written = b""
            if not written:
                break
            self.raw += written
            self._stream.feed(written)
            yield self.lines
        self.process.wait()

    @property
    def lines(self) -> list[str]:
        """The lines of the screen, without what is empty at their ends."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def scrolled(self) -> list[str]:
        """The lines that have left the screen at the top, then those that are on it."""
        width = self.screen.columns
        above = [
            "".join(line[column].data for column in range(width)).rstrip()
            for line in self.screen.history.top
        ]
        return above + self.lines

    def close(self) -> None:
        """End the command, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        with suppress(OSError):
            os.close(self._master)
