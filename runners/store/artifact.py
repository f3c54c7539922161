"""The artifact: a model as a folder of files, named by the digest of its manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
"""The manifest's file name in an artifact's folder."""


@dataclass(frozen=True)
class ArtifactFile:
    """One file of an artifact.

    Attributes:
        name: Its path in the folder, with ``/`` between the parts.
        size_bytes: Its size.
        sha256: The digest of its bytes.
    """

    name: str
    size_bytes: int
    sha256: str

    def is_whole(self, folder: Path) -> bool:
        """Tell whether the file is in a folder with the bytes that it should have."""
        path = folder / self.name
        return (
            path.is_file()
            and path.stat().st_size == self.size_bytes
            and file_digest(path) == self.sha256
        )


@dataclass(frozen=True)
class Artifact:
    """An exported model: its files, and what they hold.

    Attributes:
        format: The name of its format.
        precision: The scheme that was applied; ``fp32`` if none was.
        files: Its files. A runtime is given the first; the others lie beside it.
        inputs: Name, type and shape of each input, as far as the format says so.
        outputs: The same of each output.
    """

    format: str
    precision: str
    files: tuple[ArtifactFile, ...]
    inputs: tuple[Mapping[str, Any], ...] = ()
    outputs: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(
        cls,
        files: Sequence[Path],
        model_format: str,
        precision: str,
        signature: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Return the artifact that some files are.

        Args:
            files: The files, the model's own first; the others in its folder or below.
            model_format: The name of their format.
            precision: The scheme that was applied.
            signature: ``inputs`` and ``outputs``, if they are known.

        Raises:
            ValueError: If a file is not in the folder of the first.
        """
        folder, known = files[0].parent, signature or {}
        return cls(
            format=model_format,
            precision=precision,
            files=tuple(artifact_file(path, folder) for path in files),
            inputs=tuple(known.get("inputs", ())),
            outputs=tuple(known.get("outputs", ())),
        )

    @classmethod
    def from_manifest(cls, text: str) -> Artifact:
        """Undo :attr:`manifest`.

        Raises:
            ValueError: If the text is no manifest.
        """
        try:
            values = json.loads(text)
            files = tuple(ArtifactFile(**each) for each in values.pop("files"))
            inputs, outputs = tuple(values.pop("inputs")), tuple(values.pop("outputs"))
            return cls(files=files, inputs=inputs, outputs=outputs, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest of an artifact: {error}") from error

    @property
    def manifest(self) -> str:
        """The manifest's text: the same for equal artifacts."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest, and so of all that it lists."""
        return hashlib.sha256(self.manifest.encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(file.size_bytes for file in self.files)


def artifact_file(path: Path, folder: Path) -> ArtifactFile:
    """Return the name, size and digest of a file in a folder."""
    name = path.relative_to(folder).as_posix()
    return ArtifactFile(name, path.stat().st_size, file_digest(path))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
