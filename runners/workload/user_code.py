"""The user's code: imported from a file; its errors are reported with their line."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from paretune.runners.workload.old_names import OldNames
from paretune.spaces import WorkloadError


def split_reference(reference: str, folder: Path) -> tuple[Path, str]:
    """Split ``file.py:ClassName`` into the file's absolute path and the name.

    Raises:
        WorkloadError: If a part is missing or the file does not exist.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name:
        raise WorkloadError(f"write a workload as FILE.py:CLASS; got {reference!r}")
    path = (folder / file).resolve()
    is_there = False
    with suppress(OSError):  # such as a name that is too long for the file system
        is_there = path.is_file()
    if not is_there:
        beside = sorted(p.name for p in folder.glob("*.py"))
        hint = f"; Python files there: {', '.join(beside)}" if beside else ""
        raise WorkloadError(f"there is no file {path}{hint}")
    return path, name


def load_attribute(reference: str, folder: Path) -> Any:
    """Import ``file.py:name`` and return what it names.

    Raises:
        WorkloadError: If the file or the name is missing, or importing it fails.
    """
    path, name = split_reference(reference, folder)
    module = _imported(path, reference)
    if not hasattr(module, name):
        offered = [key for key in vars(module) if not key.startswith("_")]
        raise WorkloadError(f"{path.name} has no {name!r}; it has {', '.join(offered)}")
    return getattr(module, name)


_PLUGGED: set[tuple[Path, int]] = set()


def load_plugins(files: Sequence[str], folder: Path) -> None:
    """Run the files that register records in this process, each once unless it has changed.

    Args:
        files: The files; relative ones start from the folder.
        folder: The study's folder.

    Raises:
        WorkloadError: If a file is missing or fails; the message has the line.
    """
    for file in files:
        path = (folder / file).resolve()
        if not path.is_file():
            raise WorkloadError(f"there is no file {path}")
        mark = (path, path.stat().st_mtime_ns)
        if mark not in _PLUGGED:
            _imported(path, file)
            _PLUGGED.add(mark)


def _imported(path: Path, reference: str) -> ModuleType:
    """Import a file, as a module that other code of the user's finds beside it.

    Raises:
        WorkloadError: If that fails.
    """
    module_name = f"paretune_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise WorkloadError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    OldNames.install()
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise WorkloadError(their_line(reference, path, error)) from error
    return module


def their_line(reference: str, path: Path, error: BaseException) -> str:
    """Describe an error in the user's file, with its line."""
    if isinstance(error, SyntaxError):
        return f"{reference}: line {error.lineno}: {error.msg}"
    return f"{reference}: {line_in(path, error)}{type(error).__name__}: {error}"


def line_in(path: Path, error: BaseException) -> str:
    """Return the line of a file that an error came through, or an empty text."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if Path(frame.filename) == path]
    return f"line {theirs[-1].lineno} ({theirs[-1].line}): " if theirs else ""
