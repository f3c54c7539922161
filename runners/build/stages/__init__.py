"""The stages of a build: distill → prune → fine-tune → qat → export → quantize.

Each is one function from a :class:`StageInput` to a :class:`StageOutput`, in a file of its own,
imported when it runs. A stage's version is part of its key: raise it whenever a change of its code
changes the output for the same input, so that outputs of the old code are not reused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.formats import FORMATS, FormatRecord
from paretune.runners.signal_stack import signal_stack_kept
from paretune.spaces import SCHEMES, resolve

if TYPE_CHECKING:
    from paretune.runners.workload.learning.teacher import Teacher
    from paretune.runners.workload.loaded import LoadedWorkload


@dataclass(frozen=True)
class StageInput:
    """The input of a stage.

    Attributes:
        loaded: The workload.
        parent: File of the previous stage, or ``None`` for the first.
        params: The stage's parameters.
        folder: An empty folder to write the output into.
        teacher: Returns the reference as a teacher.
    """

    loaded: LoadedWorkload
    parent: Path | None
    params: Mapping[str, Any]
    folder: Path
    teacher: Callable[[], Teacher]

    @property
    def parent_file(self) -> Path:
        """The file of the previous stage; every stage but the first has one."""
        if self.parent is None:
            raise ValueError("this stage needs the output of another stage")
        return self.parent


@dataclass(frozen=True)
class StageOutput:
    """The output of a stage.

    Attributes:
        path: The file.
        metrics: Metrics it observed, by name.
        train_losses: The mean training loss of each epoch, if it trains.
        notes: What a person should know of it.
    """

    path: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_losses: Sequence[float] = ()
    notes: Sequence[str] = ()


_VERSIONS = {
    "import-model": 1,
    "reference": 4,
    "skeleton": 1,
    "pretrained": 1,
    "distill-short": 4,
    "distill": 5,
    "prune": 3,
    "fine-tune-short": 4,
    "fine-tune": 5,
    "qat-short": 4,
    "qat": 4,
    "quantize": 7,
}


def stage_version(stage: str) -> int:
    """Return a stage's version, which is part of the key of what it makes."""
    exported = _format_of(stage)
    return _VERSIONS[stage] if exported is None else exported.version


def stage_versions() -> dict[str, int]:
    """Return all that decides which file builds make, besides their stages' parameters.

    These are the versions of the stages, of the formats' exports and of the schemes, by name.
    """
    return {
        **_VERSIONS,
        **{each.stage: each.version for each in FORMATS if each.stage},
        **{f"quantize to {each.name}": each.version for each in SCHEMES},
    }


def run_stage(stage: str, given: StageInput) -> StageOutput:
    """Run a stage by name.

    Raises:
        StageError: If the stage fails for a known reason.
    """
    exported = _format_of(stage)
    if exported is not None and exported.export is not None:
        run = resolve(exported.export)
    else:
        name = stage.removesuffix("-short").replace("-", "_")
        run = resolve(f"paretune.runners.build.stages.{name}:run")
    with signal_stack_kept():
        output: StageOutput = run(given)
    return output


def format_made(stage: str, params: Mapping[str, Any]) -> FormatRecord | None:
    """Return the format of the model that a stage makes; ``None`` if it makes a checkpoint."""
    if stage == "quantize":
        return FORMATS.get(params.get("format", "onnx"))
    return next((each for each in FORMATS if stage in (each.stage, each.import_stage)), None)


def _format_of(stage: str) -> FormatRecord | None:
    """Return the format that a stage exports to, if it exports."""
    return next((each for each in FORMATS if each.stage == stage), None)
