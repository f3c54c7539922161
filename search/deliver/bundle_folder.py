"""The folder of a bundle: a new bundle replaces an old one and leaves other files alone."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paretune.spaces import StudyError

MANIFEST = "manifest.json"

_FILES = (
    "model.onnx",
    "model.pt2",
    "inputs*.npy",
    "outputs.npy",
    "pipeline.py",
    "README.md",
    "frontier.png",
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
        new = sorted(aside.iterdir(), key=lambda path: path.name == MANIFEST)
        if _is_bundle(folder):
            names = {path.name for path in new}
            for old in [path for pattern in _FILES for path in folder.glob(pattern)]:
                if old.name not in names:
                    old.unlink()
        elif theirs := [path.name for path in new if (folder / path.name).exists()]:
            raise StudyError(
                f"{folder} is not a bundle, and a bundle would replace {', '.join(theirs)} in it; "
                "choose another folder, or move these files away"
            )
        for path in new:
            path.replace(folder / path.name)


def _is_bundle(folder: Path) -> bool:
    """Tell whether a folder has a bundle's manifest; other tools use that file name as well."""
    try:
        values = json.loads((folder / MANIFEST).read_text("utf-8"))
        return "sha256" in values["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
