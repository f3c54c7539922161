"""Pictures in folders: each folder's name is a class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.data import Dataset, Rows
from paretune.runners.workload.datasets.indexed import IndexedDataset, as_array
from paretune.runners.workload.datasets.known_digests import known_digest
from paretune.spaces import WorkloadError, digest

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")


class ImageFolder(IndexedDataset):
    """The pictures below a folder, of which each class has a folder of its own.

    Files are read when they are needed, and hashed once for as long as they do not change.

    Args:
        root: The folder.
        transform: Makes the model's input of a ``PIL.Image`` in RGB, as an array or a tensor; it
            may be random, for training. By default: the middle square of the picture, resized to
            ``size``, as fp32 from 0 to 1 of shape (3, size, size).
        size: Edge of the default transform's square, in pixels.
        files: Paths and classes of some of the pictures; all by default.
        version: A text that changes when the transform does.
    """

    def __init__(
        self,
        root: Path,
        transform: Callable[[Any], Any] | None = None,
        *,
        size: int = 224,
        files: Sequence[tuple[Path, int]] | None = None,
        version: str = "",
    ) -> None:
        super().__init__(version)
        self.root = root
        self.size = size
        self.transform = transform
        self.classes = sorted(each.name for each in root.iterdir() if each.is_dir())
        self.files = list(files) if files is not None else self._all()
        if not self.files:
            raise WorkloadError(
                f"{root} has no pictures in folders, one per class ({', '.join(_SUFFIXES)})"
            )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each picture, for example to divide them evenly."""
        return np.array([label for _, label in self.files], np.int64)

    def sample(self, row: int) -> tuple[Any, Any]:
        """Return a picture as the model takes it, and its class."""
        from PIL import Image

        path, label = self.files[row]
        with Image.open(path) as image:
            picture = image.convert("RGB")
        made = self._square(picture) if self.transform is None else self.transform(picture)
        return as_array(made), label

    def take(self, rows: Rows) -> Dataset:
        """Return these pictures; their digest does not depend on the others."""
        return ImageFolder(
            self.root,
            self.transform,
            size=self.size,
            files=[self.files[row] for row in rows],
            version=self.version or "",
        )

    def with_transform(self, transform: Callable[[Any], Any], version: str = "") -> ImageFolder:
        """Return the same pictures with another transform, such as one for training."""
        return ImageFolder(self.root, transform, size=self.size, files=self.files, version=version)

    @cached_property
    def digest(self) -> str:
        """That of all files, their classes, and the version of the transform."""
        names = [str(path.relative_to(self.root)) for path, _ in self.files]

        def read() -> str:
            found = hashlib.sha256()
            for path, _ in self.files:
                with path.open("rb") as stream:
                    found.update(hashlib.file_digest(stream, "sha256").digest())
            return found.hexdigest()

        order = hashlib.sha256("\n".join(names).encode()).hexdigest()
        paths = [path for path, _ in self.files]
        return digest(
            {
                "files": known_digest(paths, f"pictures {order}", read),
                "labels": self.labels.tolist(),
                "size": self.size if self.transform is None else None,
                "version": self.version,
            }
        )

    def _all(self) -> list[tuple[Path, int]]:
        return [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in sorted((self.root / name).rglob("*"))
            if path.suffix.lower() in _SUFFIXES
        ]

    def _square(self, picture: Any) -> NDArray[np.float32]:
        edge = min(picture.size)
        left, top = ((length - edge) // 2 for length in picture.size)
        middle = picture.crop((left, top, left + edge, top + edge)).resize((self.size, self.size))
        pixels = np.asarray(middle, np.float32) / 255
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
