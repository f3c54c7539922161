"""Export targets: what a picked model can be written for, one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paretune.spaces.registry import Reference, Registry, resolve


@dataclass(frozen=True)
class TargetRecord:
    """A place where a picked model is used, that has a layout of its own.

    Attributes:
        name: Its name in ``paretune pick --target NAME DIR``.
        words: What is written, in half a line.
        write: Writes it. It takes a bundle's folder, the folder to write to, which may not be
            there yet or hold what was written earlier, and the model's name; it returns the path of
            the main file, and raises a ``StudyError`` for a point that the target cannot use.
        hint: A command that uses what was written, with ``{out}`` for the folder.
    """

    name: str
    words: str
    write: Reference
    hint: str = ""

    def export(self, bundle: Path, out: Path, name: str) -> Path:
        """Write a bundle's model for the target, and return the path of the main file."""
        write: Callable[[Path, Path, str], Path] = resolve(self.write)
        return write(bundle, out, name)


TARGETS: Registry[TargetRecord] = Registry(
    "target", "paretune.targets", ("paretune.search.deliver.targets.triton:TRITON",)
)
"""All export targets."""
