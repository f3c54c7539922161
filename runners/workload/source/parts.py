"""The parts of a workload that stages read, each with a digest of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from paretune.runners.workload.data import Dataset, first_batch
from paretune.runners.workload.datasets.known_digests import known_file_digest
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.runners.workload.protocol import Workload
from paretune.runners.workload.source.closure import Closure, Members
from paretune.runners.workload.source.module import SourceModule, bindings
from paretune.runners.workload.source.modules import Modules
from paretune.runners.workload.source.values import Values, scalars
from paretune.spaces import digest

_ASKED = frozenset(name for name in vars(Workload) if not name.startswith("_"))
"""What Paretune asks a workload for."""

_NOT_TRAINING = {
    *("models", "data", "model_file", "pipeline", "requests", "depends_on", "recipe"),
    *("train_reference", "quality", "quality_metric", "metrics", "keep_layers", "attention_heads"),
    *("dynamic_axes", "layout", "remarks", "keep_fp32"),
}
_SCALARS = (str, int, float, type(None))
_PRUNING = ("keep_layers", "attention_heads")
_MODEL_OF_TRANSFORMERS = "config.json"
_SHORTEST_NAME = 3
"""Characters of a file's name below which a text that equals it may mean anything. Untested."""


@dataclass(frozen=True)
class Part:
    """A part of a workload.

    Attributes:
        digest: Of its code, values and files.
        libraries: Versions of the libraries that the code uses, by module.
        found: Digests of files that the code names, but :meth:`Workload.depends_on` does not. They
            may come and go with a run, so a study goes on without them; a stage does not.
    """

    digest: str
    libraries: Mapping[str, str] = field(default_factory=dict)
    found: Sequence[str] = ()


@dataclass(frozen=True)
class Parts:
    """A workload's parts.

    Attributes:
        models: What makes each model, by its name.
        reference: What sets the reference's weights.
        training: What trains, without the recipe.
        pruning: What pruning asks for.
        export: What an export asks for.
        layout: Where the samples are in the model's inputs and outputs.
        inputs: Names, types and shapes of the inputs of a sample, for tracing.
        metric: What judges: the objective.
        metrics: All that is recorded beside it as well.
        serving: The pipeline and its requests.
        files: The files that no other part names: any may read them.
        model_file: The reference's own file, if it is one.
        splits: The digest of each split.
        recipe: The values of the recipe.
    """

    models: Mapping[str, Part]
    reference: Part
    training: Part
    pruning: Part
    export: Part
    layout: Part
    inputs: Part
    metric: Part
    metrics: Part
    serving: Part
    files: Part
    model_file: Part
    splits: Mapping[str, str]
    recipe: Mapping[str, Any]

    @property
    def judging(self) -> str:
        """What a quality belongs to besides the model and how it is run, as one digest."""
        return digest([self.metrics.digest, self.layout.digest, self.splits["validation"]])

    @property
    def digests(self) -> dict[str, str]:
        """Every digest by the words for what it is of; versions of libraries are in none."""
        return {
            **{f"the model {name}": each.digest for name, each in self.models.items()},
            "the training of the reference": self.reference.digest,
            "the training": digest([self.training.digest, self.recipe]),
            "what pruning keeps": self.pruning.digest,
            "the dynamic axes": self.export.digest,
            "the metric": self.metric.digest,
            "all metrics": self.metrics.digest,
            "the pipeline": self.serving.digest,
            "a file of depends_on": self.files.digest,
            "the model file": self.model_file.digest,
            "the layout of inputs and outputs": self.layout.digest,
            **{f"the {name} split": each for name, each in self.splits.items()},
        }


class PartsReader:
    """Finds the parts of a workload.

    Args:
        workload: The workload.
        path: Its file.
        files: What it depends on besides its code.
    """

    def __init__(self, workload: Workload, path: Path, files: Sequence[Path]) -> None:
        self._workload = workload
        self._folder = path.parent
        self._files = {file.resolve() for file in files}
        self._modules = Modules()
        self._members = _members(workload, self._modules)
        self._claimed: set[Path] = set()

    def read(
        self,
        models: Mapping[str, Any],
        data: Any,
        metrics: Sequence[Any],
        layout: Layout,
        model_files: Iterable[Path],
        pipeline: Path | None,
    ) -> Parts:
        """Return the parts.

        Args:
            models: Its constructors by name.
            data: Its splits.
            metrics: What judges, the objective first.
            layout: Where the samples are in the model's inputs and outputs.
            model_files: The reference's own file and those that belong to it, if it is one.
            pipeline: Its pre- and post-processing file, if it has one.
        """
        training = [name for name in _ASKED if name not in _NOT_TRAINING]
        self._of(members=["data"])  # only for the files that it names
        if pipeline is not None:
            self._claimed.add(pipeline)
        own = list(model_files)
        self._claimed |= set(own)
        found = {
            "reference": self._of(members=["train_reference"]),
            "training": self._of(members=training),
            "pruning": self._of(members=_PRUNING),
            "export": self._of(members=["dynamic_axes"]),
            "layout": self._of(value=layout),
            "inputs": self._of(value=_shapes(data.train)),
            "metric": self._of(value=metrics[:1]),
            "metrics": self._of(value=metrics),
            "serving": self._of(members=["requests"], files=[pipeline] if pipeline else []),
        }
        constructors = {name: self._of(value=each) for name, each in models.items()}
        rest = self._files - self._claimed
        recipe: Any = self._workload.recipe()
        return Parts(
            models=constructors,
            files=self._of(files=rest),
            model_file=self._of(files=own),
            splits={
                name: getattr(data, name).digest
                for name in ("train", "calibration", "validation", "test")
            },
            recipe={
                name: value if isinstance(value, _SCALARS) else self._of(value=value).digest
                for name, value in vars(recipe).items()
            },
            **found,
        )

    def _of(
        self, members: Iterable[str] = (), value: Any = None, files: Iterable[Path] = ()
    ) -> Part:
        """Return the part that some attributes of the workload, a value and some files are."""
        closure = Closure(self._modules, self._members, _ASKED)
        for name in members:
            closure.member(name)
        plain = Values(closure, self._workload, self._folder).plain(value)
        code = closure.follow()
        named = self._named_files(closure.texts)
        self._claimed |= named
        found = {
            "value": plain,
            "attributes": scalars(self._workload, closure.attributes),
            "files": self._digests_of({*files, *(named & self._files)}),
            "code": code,
        }
        return Part(digest(found), closure.libraries, self._digests_of(named - self._files))

    def _named_files(self, texts: Iterable[str]) -> set[Path]:
        """Return the files whose names are among the texts of some code."""
        given = list(texts)
        names = {text.rpartition("/")[2] for text in given}
        found = {
            each for each in self._files if len(each.name) >= _SHORTEST_NAME and each.name in names
        }
        for text in given:  # also a file that depends_on() forgot
            if "\n" not in text and PurePath(text).suffix not in ("", ".py"):
                path = (self._folder / text).resolve()
                if _is(path.is_file):
                    found.add(path)
            elif _is((self._folder / text / _MODEL_OF_TRANSFORMERS).is_file):
                found |= {
                    each.resolve() for each in (self._folder / text).iterdir() if each.is_file()
                }
        return found

    def _digests_of(self, files: Iterable[Path]) -> list[str]:
        return sorted(map(known_file_digest, files))


def _shapes(split: Dataset) -> dict[str, Any]:
    """Return type and shape of each input of a sample, by name."""
    inputs = first_batch(split, 1).inputs
    return {name: [str(each.dtype), *each.shape[1:]] for name, each in inputs.items()}


def _is(asked: Callable[[], bool]) -> bool:
    """Return the answer about a path, which may be any text."""
    try:
        return asked()
    except (OSError, ValueError):
        return False


def _members(workload: Workload, modules: Modules) -> Members:
    """Return where the user's classes define each attribute of the workload."""
    found: dict[str, list[tuple[SourceModule, Any]]] = {}
    for owner in type(workload).__mro__:
        module = modules.get(owner.__module__)
        definition = module and module.named(owner.__qualname__)
        if module is None or definition is None:
            continue
        for name, statements in bindings(definition.body).items():
            found.setdefault(name, []).extend((module, each) for each in statements)
    return found
