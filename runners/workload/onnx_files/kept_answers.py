"""Answers of a user's model, kept beside each other's processes: computed once, read by all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.environment import fingerprint
from paretune.runners.workload.datasets.arrays import array_digest
from paretune.runners.workload.datasets.known_digests import known_file_digest
from paretune.runners.workload.onnx_files.answers import Original
from paretune.runners.workload.onnx_files.inputs import GivenInputs
from paretune.runners.workload.onnx_weights import external_files
from paretune.spaces import digest

_WORTH_KEEPING_S = 2.0
"""Answers that took less time, in seconds, are computed again. Chosen by judgement."""

_KEPT_DAYS = 30
"""Answers that nobody has read for longer are removed. Chosen by judgement."""


def kept_answers(original: Original, given: GivenInputs) -> dict[str, NDArray[Any]]:
    """Return a model's answers to all samples, by output; large ones are memory-mapped.

    Args:
        original: The model.
        given: Its samples.

    Raises:
        WorkloadError: If ONNX Runtime rejects the samples.
    """
    folder = _folder() / _key(original, given)
    names = list(original.layout.outputs)
    files = [folder / f"{place}.npy" for place in range(len(names))]
    with suppress(OSError, ValueError):
        found = {name: np.load(file, "r") for name, file in zip(names, files, strict=True)}
        os.utime(folder)
        return found
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=_existing(folder.parent)) as name:
        aside = Path(name) / "answers"
        aside.mkdir()
        made: dict[str, NDArray[Any]] = {}

        def allocate(output: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
            file = aside / f"{names.index(output)}.npy"
            made[output] = np.lib.format.open_memmap(file, "w+", dtype, shape)
            return made[output]

        answers = original.answers(allocate)
        if time.monotonic() - started < _WORTH_KEEPING_S:
            return {output: np.array(array) for output, array in answers.items()}
        for array in made.values():
            array.flush()  # type: ignore[attr-defined]
        with suppress(OSError):  # another process was faster
            aside.rename(folder)
        _sweep(folder.parent)
        return {name: np.load(file, "r") for name, file in zip(names, files, strict=True)}


def _key(original: Original, given: GivenInputs) -> str:
    """Return a digest of all that decides the answers, to the last bit."""
    import onnxruntime

    model = original.model
    files = [model, *external_files(model)]
    return digest(
        {
            "model": [known_file_digest(file) for file in files],
            "samples": {name: array_digest(array) for name, array in given.arrays.items()},
            "layout": original.layout.as_dict(),
            "onnxruntime": onnxruntime.__version__,
            "processor": fingerprint()["processor"],
        }
    )


def _sweep(folder: Path) -> None:
    """Remove answers that nobody has read for long."""
    for old in folder.iterdir():
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _KEPT_DAYS * 86400:
                shutil.rmtree(old, ignore_errors=True)


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _folder() -> Path:
    """Return the folder of answers, in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError, OSError):  # a user without a home, or one that cannot be written
        root = Path(cache) if cache else Path.home() / ".cache"
        return _existing(root / "paretune" / "answers")
    return _existing(Path(tempfile.gettempdir()) / f"paretune-answers-{os.getuid()}")
