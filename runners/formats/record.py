"""What Paretune knows of a model format."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.spaces.registry import Reference, Registry


@dataclass(frozen=True)
class FormatRecord:
    """A kind of model file: how it is made, and what can be read from it.

    Attributes:
        name: Its name, also the suffix of its files (``model.NAME``).
        words: What such a file is called in messages, in the plural.
        stage: The name of the build stage that exports to it. Stage names are kept in the store, so
            each format has one of its own.
        export: That stage: takes a ``StageInput`` whose parent is a checkpoint and returns a
            ``StageOutput``.
        version: The stage's version; raise it when the same input would give another file.
        export_quantizes: Whether the export applies the scheme itself, by its name in
            ``params["quantization"]``; else the stage ``quantize`` does, after it.
        import_stage: The stage that takes in a user's own file of this format, if one can.
        signature: Returns what a file says of itself: for the manifest, such as its inputs and
            outputs. Takes the file's path.
        example: Writes a small model of one input of 8 numbers, to find out what runs here. Takes
            the path to write to.
    """

    name: str
    words: str
    stage: str
    export: Reference
    version: int = 1
    export_quantizes: bool = False
    import_stage: str | None = None
    signature: Reference | None = None
    example: Reference | None = None


FORMATS: Registry[FormatRecord] = Registry(
    "format",
    "paretune.formats",
    ("paretune.runners.formats.onnx_file:ONNX", "paretune.runners.formats.program:PROGRAM"),
)
"""All model formats."""
