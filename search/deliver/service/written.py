"""Writing of exports: files and folders that replace those of an earlier export."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from paretune.search.deliver.bundle_folder import model_files
from paretune.search.deliver.service.point import ServicePoint
from paretune.spaces import StudyError

MODEL_FOLDER = "model"
"""The folder of the model's files in exports that have no layout of their own for them."""


def write_files(out: Path, files: Mapping[str, str]) -> None:
    """Write texts by their path below a folder, which is created if missing."""
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def copy_model(point: ServicePoint, folder: Path) -> Path:
    """Copy a point's model into a folder, and return the main file.

    Raises:
        StudyError: If the bundle lacks one of its files.
    """
    files = model_files(point.bundle, point.manifest)
    for source in files:
        if not source.is_file():
            raise StudyError(f"{source} is missing: copy the whole bundle, or pick again")
        target = folder / source.relative_to(point.bundle)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return folder / next(iter(files)).relative_to(point.bundle)


def template(name: str) -> str:
    """Return a file of the folder ``template``, which is exported as it is."""
    return (Path(__file__).parent / "template" / name).read_text("utf-8")
