"""The keys of a build's stages: digests of what each stage reads, and of nothing else.

A key is made of inputs alone: those of the stage, and the key of the stage before it. So a file
that left the store and is made again, with other bytes perhaps, keeps its key, and what was made
from it stays in use. A stage has a second name, made of its own inputs and of the *content* that it
starts from: by that it is found where something else led to the same content ("early cutoff";
Mokhov, Mitchell and Peyton Jones, "Build systems à la carte", 2018,
https://doi.org/10.1145/3236774).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paretune.runners import environment
from paretune.runners.build.plan import Step
from paretune.runners.build.schemes.integer_sums import has_narrow_sums
from paretune.runners.build.stages import format_made, stage_version
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.source.closure import Closure
from paretune.runners.workload.source.modules import Modules, python_version, versions
from paretune.runners.workload.source.values import Values
from paretune.spaces import REFERENCE, SCHEMES, digest

_SCHEDULE = (
    *("reference_epochs", "distill_epochs", "fine_tune_epochs", "qat_epochs", "refine_epochs"),
    "short_share",
)
"""What of a recipe is in the parameters of the stages already."""

_OWN = "paretune."
_PRUNING = ("width_multiple", "seed")
_TORCH = ("torch",)
_ONNX = ("onnx", "onnxruntime", "nncf")


@dataclass(frozen=True)
class Reads:
    """What a stage reads besides its parameters and the output of the stage before it.

    Attributes:
        model: Whether it makes the model of the build: its code, and the files that this names.
        parts: Names of the workload's parts (see :class:`Parts`).
        splits: Names of splits. An example of the inputs, for tracing, is no split but a part.
        recipe: The fields of the recipe; ``None`` for all but the numbers of epochs.
        libraries: Libraries whose version may change its output, besides those of the user's code.
        teacher: Whether it reads the reference's outputs.
        processor: Whether it chooses by what runs best on this processor.
        parent: Whether it reads the output of the stage before it.
    """

    model: bool = True
    parts: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    recipe: tuple[str, ...] | None = ()
    libraries: tuple[str, ...] = _TORCH
    teacher: bool = False
    processor: bool = False
    parent: bool = True


_TRAINS = Reads(
    parts=("training", "metric", "files"),
    splits=("train", "validation"),
    recipe=None,
    teacher=True,
)
_EXPORTS = Reads(parts=("export", "inputs"), libraries=("torch", "onnx", "onnxscript"))
READS = {
    "import-model": Reads(model=False, parts=("model_file",), libraries=("onnx",)),
    "reference": Reads(
        parts=("reference", "training", "metric", "files"),
        splits=("train", "validation"),
        recipe=None,
    ),
    "skeleton": Reads(parts=("files",), recipe=("seed",), parent=False),
    "pretrained": Reads(parts=("files",), recipe=("seed",), parent=False),
    "distill-short": _TRAINS,
    "distill": _TRAINS,
    "prune": Reads(
        parts=("pruning", "inputs"),
        splits=("train",),
        recipe=_PRUNING,
        libraries=("torch", "torch_pruning"),
    ),
    "fine-tune-short": _TRAINS,
    "fine-tune": _TRAINS,
    "qat-short": replace(_TRAINS, splits=(*_TRAINS.splits, "calibration")),
    "qat": replace(_TRAINS, splits=(*_TRAINS.splits, "calibration")),
    "export": _EXPORTS,
    "export-program": Reads(parts=("export", "inputs")),
    "quantize": Reads(
        model=False, parts=("layout",), splits=("calibration",), libraries=_ONNX, processor=True
    ),
}
"""What each stage reads; a stage of another package is taken to read everything."""

_ANYTHING = Reads(
    parts=(
        "reference",
        "training",
        "pruning",
        "export",
        "layout",
        "inputs",
        "metric",
        "files",
        "model_file",
    ),
    splits=("train", "calibration", "validation"),
    recipe=None,
    libraries=(*_TORCH, *_ONNX),
    teacher=True,
    processor=True,
)


@dataclass(frozen=True)
class StageKey:
    """The names of a stage's output in the store.

    Attributes:
        stage: The stage.
        key: The digest of all inputs, back to the first stage.
        own: The digest of its own inputs only.
        has_teacher: Whether the reference's outputs are among them.
    """

    stage: str
    key: str
    own: str
    has_teacher: bool

    def from_content(self, parent: str, teacher: str) -> str:
        """Return the key by what it starts from: the outputs of its parent and of the reference."""
        teachers = [teacher] if self.has_teacher else []
        return digest({"own": self.own, "content": [parent, *teachers]})


class Keys:
    """Makes the keys of one workload's builds.

    Args:
        loaded: The workload.
    """

    def __init__(self, loaded: LoadedWorkload) -> None:
        self._loaded = loaded

    def of(self, steps: Sequence[Step]) -> list[StageKey]:
        """Return the keys of a build's stages, in order."""
        named = [params["student"] for _, params in steps if "student" in params]
        student = named[0] if named else REFERENCE
        keys: list[StageKey] = []
        for stage, params in steps:
            reads = reads_of(stage, params)
            model = REFERENCE if not keys else student
            own = digest(
                {
                    "stage": stage,
                    "version": stage_version(stage),
                    "params": params,
                    "reads": self._read(reads, model),
                    "maker": _maker(stage, params),
                }
            )
            parent = keys[-1].key if keys and reads.parent else None
            key = digest({"own": own, "parent": parent})
            keys.append(StageKey(stage, key, own, reads.teacher))
        return keys

    def _read(self, reads: Reads, model: str) -> dict[str, Any]:
        """Return the digests and versions of what a stage reads."""
        parts = self._loaded.parts
        recipe = parts.recipe
        code = {name: getattr(parts, name) for name in reads.parts}
        if reads.model and self._loaded.model_file is None:
            code["model"] = parts.models.get(model)
        if reads.teacher:
            code["teacher"] = parts.models.get(REFERENCE)
        found: dict[str, Any] = {name: asdict(each) for name, each in code.items() if each}
        for split in reads.splits:
            found[f"{split} split"] = parts.splits[split]
        whole = [name for name in recipe if name not in _SCHEDULE]
        fields = whole if reads.recipe is None else reads.recipe
        found["recipe"] = {name: recipe.get(name) for name in fields}
        found["libraries"] = versions(reads.libraries)
        found["python"] = python_version() if reads.model else ""
        if reads.processor:
            found["processor"] = environment.fingerprint()["processor"]
            if has_narrow_sums():  # static int8 has seven bits there, which it had not always
                found["weights"] = "7 bits"
        return found


def reads_of(stage: str, params: Mapping[str, Any]) -> Reads:
    """Return what a stage reads with these parameters."""
    reads = READS.get(stage, _ANYTHING)
    if params.get("start") == "inherited":  # the reference is pruned to the student's shapes
        return replace(reads, libraries=(*reads.libraries, "torch_pruning"))
    if stage != "quantize":
        return reads
    if params.get("format") == "openvino":
        reads = replace(reads, libraries=(*_ONNX, "openvino"))
    mode = SCHEMES.get(params["quantization"]).mode
    is_tried = mode == "static" or "fp32_layer_share" in params
    if is_tried:
        return reads
    # Dynamic int8 has narrower weights where the processor's sums would overflow.
    return replace(reads, parts=(), splits=(), processor=mode == "dynamic")


def _maker(stage: str, params: Mapping[str, Any]) -> Any:
    """Return the code of what makes a model, where another package or file brings it."""
    made, quantization = format_made(stage, params), params.get("quantization")
    if made is None:
        return None
    references = [made.export, made.quantize]
    if quantization is not None:
        references.append(made.maker_of(SCHEMES.get(quantization)))
    found = []
    for each in references:
        if each is None or (isinstance(each, str) and each.startswith(_OWN)):
            continue
        closure = Closure(Modules(), {}, ())
        if isinstance(each, str):
            closure.use(each.replace(":", "."))
        plain = Values(closure, closure, Path()).plain(each)
        found.append([plain, closure.follow(), closure.libraries])
    return found
