"""A study file that is written for a person who describes a study in Python."""

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
    """Write a study file, so that the command line can go on with the study; return its path.

    Args:
        workload: The workload's class, or ``FILE.py:CLASS`` as in a study file, relative to the
            folder.
        folder: Where the study lives; ``NAME-study`` in the current folder by default.
        name: The study's name; the class's name in lower case by default.
        sections: The other sections of the study file; those that are ``None`` are left out.

    Raises:
        StudyError: If the class is in no file that another process can import, or the folder holds
            a study file of somebody's own.
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
            f"{path} is a study file of your own: open it by Study({str(path)!r}), or choose "
            f"another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _reference(workload: type, folder: Path) -> str:
    """Return ``FILE.py:CLASS`` of a class, the file as seen from a folder."""
    try:
        file = Path(inspect.getfile(workload))
    except (OSError, TypeError):
        file = Path()
    if file.suffix != ".py" or not file.is_file() or "." in workload.__qualname__:
        raise StudyError(
            f"{workload.__qualname__} must be a class at the top level of a .py file: models are "
            f"trained in other processes, which import it from there. Move it to workload.py"
        )
    return f"{os.path.relpath(file.resolve(), folder.resolve())}:{workload.__name__}"
