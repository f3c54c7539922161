"""One command for several devices: the same command for each, side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import click
from click.core import ParameterSource


def arguments(context: click.Context, without: Sequence[str]) -> list[str]:
    """Return the options of a command as they were given.

    Args:
        context: The command's context.
        without: The names of parameters to leave out.
    """
    found = []
    for param in context.command.params:
        name = str(param.name)
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name not in without and is_given and isinstance(param, click.Option):
            found += [param.opts[0], *([] if param.is_flag else [str(context.params[name])])]
    return found


def search_each(files: Mapping[str, Path], options: Sequence[str]) -> int:
    """Search a study per device at the same time; print every line with its device.

    Args:
        files: The study file of each device.
        options: The options of ``paretune search``.

    Returns:
        The worst exit code.
    """
    running = []
    width = max(map(len, files))
    for device, file in files.items():
        process = subprocess.Popen(
            [sys.executable, "-m", "paretune", "search", str(file), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            # A terminal's Ctrl-C reaches them once, through this process.
            start_new_session=True,
        )
        assert process.stdout is not None
        printing = threading.Thread(target=_print, args=(process.stdout, f"{device:<{width}} │ "))
        printing.start()
        running.append((process, printing))

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process, _ in running:
            process.send_signal(number)

    before = [signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        codes = [process.wait() for process, _ in running]
        for _, printing in running:
            printing.join()
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    return max(abs(code) for code in codes)


def _print(lines: IO[str], before: str) -> None:
    for line in lines:
        click.echo(f"{before}{line}", nl=False)
