"""Writes the study file of a study that is described in Python."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from paretune.spaces import StudyError

_MARK = "# Written by paretune.Study: change the arguments there, not this file."


def write_study_file(
    workload: type | str, folder: Path | None, name: str | None, sections: Mapping[str, Any]
) -> Path:
    """Write a study file, so that the command line can continue the study; return its path.

    Args:
        workload: The workload's class, or ``FILE.py:CLASS`` as in a study file, relative to the
            folder.
        folder: The study's folder; ``NAME-study`` in the current folder by default.
        name: The study's name; the class's name in lower case by default.
        sections: The other sections of the study file; ``None`` leaves a section out.

    Raises:
        StudyError: If other processes cannot import the class, or the folder holds the user's own
            study file.
    """
    label = workload.rpartition(":")[2] if isinstance(workload, str) else workload.__name__
    name = name or re.sub(r"[^\w.-]+", "-", label).lower()
    folder = folder or Path(f"{name}-study")
    reference = workload if isinstance(workload, str) else _reference(workload, folder)
    given = {key: value for key, value in sections.items() if value is not None}
    values = {"name": name, "workload": reference, **given}
    text = f"{_MARK}\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}"
    path = folder / "study.yaml"
    if path.is_file() and not path.read_text("utf-8").startswith(_MARK):
        raise StudyError(
            f"{path} is your own study file: open it with Study({str(path)!r}), or choose another "
            "folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _reference(workload: type, folder: Path) -> str:
    """Return ``FILE.py:CLASS`` of a class, with the file relative to a folder."""
    try:
        file = Path(inspect.getfile(workload))
    except (OSError, TypeError):
        file = Path()
    if file.suffix != ".py" or not file.is_file() or "." in workload.__qualname__:
        raise StudyError(
            f"{workload.__qualname__} must be a class at the top level of a .py file, because "
            "other processes import it to train models: move it to workload.py"
        )
    return f"{os.path.relpath(file.resolve(), folder.resolve())}:{workload.__name__}"
