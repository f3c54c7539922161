"""Exported programs: what ``torch.export`` saves."""

from __future__ import annotations

from pathlib import Path

from paretune.runners.formats.record import FormatRecord

PROGRAM = FormatRecord(
    name="pt2",
    words="exported programs",
    stage="export-program",
    export="paretune.runners.build.stages.export_program:run",
    export_quantizes=True,
    example="paretune.runners.formats.program:write_example",
)


def write_example(path: Path) -> None:
    """Write a linear layer."""
    import torch

    program = torch.export.export(torch.nn.Linear(8, 8).eval(), (torch.ones(1, 8),))
    torch.export.save(program, path)
