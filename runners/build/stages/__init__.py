"""The stages of a build: distill → prune → fine-tune → qat → export → quantize.

Each is one function from a :class:`StageInput` to a :class:`StageOutput`, in a file of its own,
imported when it runs. A stage's version is part of its key: raise it whenever its code would give
another output for the same input, and what the old code made is no longer reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.formats import FORMATS, FormatRecord
from paretune.spaces.registry import resolve

if TYPE_CHECKING:
    from torch import Tensor

    from paretune.runners.workload.loaded import LoadedWorkload


@dataclass(frozen=True)
class StageInput:
    """What a stage works from.

    Attributes:
        loaded: The workload.
        parent: File of the stage before, or ``None`` for the first.
        params: What to do.
        folder: An empty folder to write the output into.
        teacher_logits: Gives the reference's outputs on the train split.
    """

    loaded: LoadedWorkload
    parent: Path | None
    params: Mapping[str, Any]
    folder: Path
    teacher_logits: Callable[[], Tensor]

    @property
    def parent_file(self) -> Path:
        """The file of the stage before; every stage but the first has one."""
        if self.parent is None:
            raise ValueError("this stage needs the output of another")
        return self.parent


@dataclass(frozen=True)
class StageOutput:
    """What a stage made.

    Attributes:
        path: The file.
        metrics: What it observed, by name.
        train_losses: The mean training loss of each epoch, if it trains.
    """

    path: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_losses: Sequence[float] = ()


_VERSIONS = {
    "import-model": 1,
    "reference": 3,
    "skeleton": 1,
    "distill-short": 3,
    "distill": 4,
    "prune": 1,
    "fine-tune-short": 3,
    "fine-tune": 4,
    "qat-short": 3,
    "qat": 3,
    "quantize": 5,
}


def stage_version(stage: str) -> int:
    """Return a stage's version, which is part of the key of what it makes."""
    exported = _format_of(stage)
    return _VERSIONS[stage] if exported is None else exported.version


def run_stage(stage: str, given: StageInput) -> StageOutput:
    """Run a stage by name.

    Raises:
        StageError: If the stage knows why it cannot do this.
    """
    exported = _format_of(stage)
    if exported is not None:
        run = resolve(exported.export)
    else:
        name = stage.removesuffix("-short").replace("-", "_")
        run = resolve(f"paretune.runners.build.stages.{name}:run")
    output: StageOutput = run(given)
    return output


def _format_of(stage: str) -> FormatRecord | None:
    """Return the format that a stage exports to, if it exports."""
    return next((each for each in FORMATS if each.stage == stage), None)
