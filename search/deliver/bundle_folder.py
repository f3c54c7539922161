"""The folder of a bundle: a new bundle replaces an old one and leaves other files alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from paretune.spaces import StudyError

MANIFEST = "manifest.json"
T = TypeVar("T")

_FILES = (
    "inputs*.npy",
    "outputs*.npy",
    "pipeline.py",
    "README.md",
    "frontier.png",
    "serving.json",
    "reference.json",
    "live.json",
    MANIFEST,
)
_ASIDE = ".paretune-"


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a folder to write a bundle into; move its files into the bundle's folder at the end.

    Files of the old bundle that the new one lacks are removed. The manifest goes last: until then,
    the old manifest shows that the model is not its own.

    Args:
        folder: The bundle's folder; created if missing.

    Raises:
        StudyError: If it holds no bundle, but a file in place of one of the bundle's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_ASIDE}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    # Inside the folder: another folder may be on another disk, where renaming fails.
    with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=folder) as name:
        aside = Path(name)
        yield aside
        files = [path.relative_to(aside) for path in aside.rglob("*") if path.is_file()]
        files.sort(key=lambda path: path.name == MANIFEST)
        if (old := _manifest(folder)) is not None:
            there = {path for pattern in _FILES for path in folder.glob(pattern)}
            for path in (there | set(model_files(folder, old))) - {folder / name for name in files}:
                if folder.resolve() in path.resolve().parents:  # whatever a manifest may name
                    path.unlink(missing_ok=True)
        elif theirs := [str(file) for file in files if (folder / file).exists()]:
            raise StudyError(
                f"{folder} is not a bundle, and a bundle would replace {', '.join(theirs)} in it; "
                "choose another folder, or move these files away"
            )
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (aside / file).replace(folder / file)


def model_files(folder: Path, manifest: Mapping[str, Any]) -> dict[Path, str]:
    """Return the files of a bundle's model with their digests, the model's own first."""
    model = manifest["model"]
    beside = {folder / each["name"]: each["sha256"] for each in model.get("beside", ())}
    return {folder / model["file"]: model["sha256"], **beside}


def read_versioned(
    path: Path, key: str, version: int, restore: Callable[[dict[str, Any]], T], remedy: str
) -> T | None:
    """Return what a file of a bundle holds, or ``None`` if it is not there.

    Args:
        path: The file, of JSON.
        key: The entry with its version.
        version: The only version that can be read.
        restore: Makes the result from the other entries.
        remedy: How to get a file of this version, for the error.

    Raises:
        StudyError: If it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text("utf-8"))
        if (found := values.pop(key)) != version:
            raise ValueError(f"its version is {found}")
        return restore(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"cannot read {path} ({error}); this version of Paretune reads version {version}: "
            f"{remedy}"
        ) from error


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return a bundle's manifest; ``None`` for none, or the file of another tool by that name."""
    try:
        values: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
        model_files(folder, values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values


def input_files(folder: Path, count: int) -> list[Path]:
    """Return a bundle's files of samples, one per input of the model, in order."""
    return [folder / f"inputs{f'_{place}' if place else ''}.npy" for place in range(count)]


def output_files(folder: Path, count: int) -> list[Path]:
    """Return a bundle's files of answers, one per output of the model, in order."""
    return [folder / f"outputs{f'_{place}' if place else ''}.npy" for place in range(count)]
