"""One command for several devices: the same command for each, side by side."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
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
            found += [param.opts[0], str(context.params[name])]
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
        command = [sys.executable, "-m", "paretune", "search", str(file), *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )
        assert process.stdout is not None
        printing = threading.Thread(target=_print, args=(process.stdout, f"{device:<{width}} │ "))
        printing.start()
        running.append((process, printing))
    try:
        codes = [process.wait() for process, _ in running]
    except KeyboardInterrupt:  # Ctrl-C reaches them as well; SIGTERM does not
        for process, _ in running:
            process.terminate()
        codes = [process.wait() for process, _ in running]
    for _, printing in running:
        printing.join()
    return max(abs(code) for code in codes)


def _print(lines: IO[str], before: str) -> None:
    for line in lines:
        click.echo(f"{before}{line}", nl=False)
