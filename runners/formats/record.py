"""What Paretune knows of a model format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretune.spaces.registry import Reference, Registry, resolve
from paretune.spaces.scheme import SchemeRecord


@dataclass(frozen=True)
class FormatRecord:
    """A kind of model file: how it is made, and what can be read from it.

    Attributes:
        name: Its name, also the suffix of its files (``model.NAME``) unless they have another.
        words: What such a file is called in messages, in the plural.
        stage: The name of the build stage that exports to it. Stage names are kept in the store, so
            each format with an export has one of its own.
        export: That stage: takes a ``StageInput`` whose parent is a checkpoint and returns a
            ``StageOutput``.
        suffix: The suffix of its files, if it is not the format's name.
        made_from: The name of the format whose files the schemes of this one are made from, if it
            has no export of its own.
        version: The stage's version; raise it when the same input would give another file.
        export_quantizes: Whether the export applies the scheme itself, by its name in
            ``params["quantization"]``; else the stage ``quantize`` does, after it.
        makers: What makes schemes in this format, by the scheme's name, beside what the schemes'
            records say; as there, ``None`` if the export does.
        quantize: Applies a scheme to a file where more has to be done than its maker does; takes
            the ``StageInput`` of the stage ``quantize`` and the scheme's record, and returns a
            ``StageOutput``.
        import_stage: The stage that takes in a user's own file of this format, if one can.
        signature: Returns what a file says of itself: for the manifest, such as its inputs and
            outputs. Takes the file's path.
        beside: Returns the files that belong to a model file and lie in its folder or below, such
            as its weights; by default there are none. Takes the file's path.
        example: Writes a small model of one input of 8 numbers, to find out what runs here. Takes
            the path to write to.
    """

    name: str
    words: str
    stage: str = ""
    export: Reference | None = None
    suffix: str = ""
    made_from: str | None = None
    version: int = 1
    export_quantizes: bool = False
    makers: Mapping[str, Reference | None] = field(default_factory=dict)
    quantize: Reference | None = None
    import_stage: str | None = None
    signature: Reference | None = None
    beside: Reference | None = None
    example: Reference | None = None

    @property
    def file(self) -> str:
        """The name of a model file in an artifact's folder."""
        return f"model.{self.suffix or self.name}"

    @property
    def source(self) -> FormatRecord:
        """The format that it is made from: itself, unless it is made from another's files."""
        return self if self.made_from is None else FORMATS.get(self.made_from)

    def takes(self, scheme: SchemeRecord) -> bool:
        """Return whether a scheme can be made in this format."""
        return scheme.mode == "none" or self.name in scheme.makers or scheme.name in self.makers

    def files_of(self, path: Path) -> list[Path]:
        """Return the files of a model: the file itself, then those that lie beside it."""
        return [path, *(resolve(self.beside)(path) if self.beside else ())]

    def bytes_of(self, path: Path) -> int:
        """Return the size of a model's files."""
        return sum(file.stat().st_size for file in self.files_of(path))

    def says_of(self, path: Path) -> dict[str, Any]:
        """Return what a model file says of itself; empty if that cannot be read."""
        return dict(resolve(self.signature)(path)) if self.signature else {}

    def maker_of(self, scheme: SchemeRecord) -> Reference | None:
        """Return what makes a scheme in this format; ``None`` if the export does, or nothing."""
        return scheme.makers.get(self.name) or self.makers.get(scheme.name)


FORMATS: Registry[FormatRecord] = Registry(
    "format",
    "paretune.formats",
    (
        "paretune.runners.formats.onnx_file:ONNX",
        "paretune.runners.formats.program:PROGRAM",
        "paretune.runners.formats.openvino_model:OPENVINO_MODEL",
    ),
)
"""All model formats."""


def format_for(scheme: SchemeRecord, names: Sequence[str]) -> str:
    """Return the first of some formats that a scheme can be made in, or else the first of all."""
    return next((name for name in names if FORMATS.get(name).takes(scheme)), names[0])
