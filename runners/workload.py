"""The workload: the user's side of a study, and the only code they have to write."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runners.data import Data
from runners.metric import METRICS
from runners.recipe import Recipe
from runners.store import file_digest
from spaces import REFERENCE, WorkloadError, digest

if TYPE_CHECKING:
    from torch import Tensor, nn


class Workload(ABC):
    """The user's model and data. Subclass it and write :meth:`models` and :meth:`data`.

    Everything else has a default: top-1 accuracy, distillation by :class:`Recipe`, a reference
    trained by the same recipe (override :meth:`train_reference` to load a checkpoint instead).

    Attributes:
        quality_metric: Name under which :meth:`quality` is recorded; higher is better.
        pipeline: Python file (relative to this one's folder) with what surrounds the model in
            service: ``preprocess(requests)`` gives the model's input for a batch of requests,
            ``postprocess(outputs)`` makes answers of its output; either may be missing. Both are
            timed, apart and together with inference. It is imported by the process that is timed,
            so it should import no more than a service would. Needs :meth:`requests`.
    """

    quality_metric: str = "accuracy"
    pipeline: str | None = None

    @abstractmethod
    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return constructors of untrained models by name.

        ``"reference"`` is the model to compress; every other entry is a student that may be
        distilled from it. All take and give tensors of the same shapes, batch axis first.
        """

    @abstractmethod
    def data(self) -> Data:
        """Return the train, calibration, validation and test splits."""

    def recipe(self) -> Recipe:
        """Return how models are trained."""
        return Recipe()

    def train_reference(self, model: nn.Module, data: Data) -> None:
        """Give the reference its trained weights, in place.

        Override it to load your checkpoint (``model.load_state_dict(torch.load(...,
        weights_only=True))``) and name the file in :meth:`depends_on`.
        """
        from runners.training import train

        recipe = self.recipe()
        train(model, data, self.loss, epochs=recipe.reference_epochs, recipe=recipe)

    def loss(self, outputs: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        """Return the training loss of one batch, a scalar tensor.

        Args:
            outputs: Logits of shape (batch, classes).
            targets: Classes of shape (batch,).
            teacher: The reference's logits, or ``None`` where there is no teacher.
        """
        from runners.training import distillation_loss

        return distillation_loss(outputs, targets, teacher, self.recipe())

    def quality(self, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
        """Return the quality of a model's outputs, higher is better; top-1 accuracy by default.

        Args:
            outputs: Array of shape (samples, ...) that the exported model gave, in its runtime.
            targets: The split's targets.
        """
        return float((outputs.argmax(axis=1) == targets).mean())

    def keep_layers(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the layers whose outputs pruning must leave alone, beside the model's output."""
        return ()

    def requests(self, split: str) -> NDArray[Any] | Sequence[bytes]:
        """Return what a service would receive for each sample of a split, for the pipeline.

        Args:
            split: ``"validation"`` or ``"test"``.

        Returns:
            An array whose first axis is the sample (numbers or text), or a list of ``bytes``, such
            as encoded pictures. ``preprocess`` must make the split's inputs of them.
        """
        raise NotImplementedError

    def depends_on(self) -> Sequence[Path]:
        """Return other files whose content decides models or data, such as a checkpoint.

        Relative paths start from the workload's folder. Its own file, and the modules beside it
        that it imports, count without being named.
        """
        return ()


@dataclass(frozen=True)
class WorkloadInfo:
    """What the study needs to know of a workload, without its code.

    Attributes:
        name: Name of the workload's class.
        fingerprint: SHA-256 of its source, its data and the files it depends on.
        models: Names it offers, the reference first.
        quality_metric: Name of its quality metric.
        pipeline: Its pre- and post-processing file, if it has one.
        recipe: How it trains.
    """

    name: str
    fingerprint: str
    models: tuple[str, ...]
    quality_metric: str
    pipeline: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)


class LoadedWorkload:
    """A workload with its models and data, asked for once.

    Args:
        reference: ``path/to/file.py:ClassName``, relative to ``folder``.
        folder: The folder that relative paths start from.

    Raises:
        WorkloadError: If the file or the class is missing, its code fails, or it breaks the
            protocol.
    """

    def __init__(self, reference: str, folder: Path) -> None:
        path, workload_class = _load_class(reference, folder)
        self.path = path
        try:
            self.workload: Workload = workload_class()
            self.models = dict(self.workload.models())
            self.data = self.workload.data()
            files = [path.parent / file for file in self.workload.depends_on()]
            self.pipeline = _pipeline_of(reference, path, self.workload)
            files += [self.pipeline] if self.pipeline else []
            for file in files:
                if not file.is_file():
                    raise WorkloadError(
                        f"{reference}: depends_on() names {file}, which is not there"
                    )
            sources = sorted(file_digest(file) for file in {*files, *_modules_beside(path)})
        except WorkloadError:
            raise
        except (Exception, SystemExit) as error:
            raise WorkloadError(_their_line(reference, path, error)) from error
        if REFERENCE not in self.models:
            raise WorkloadError(
                f"{reference}: models() must offer {REFERENCE!r}, the model to compress; "
                f"got {list(self.models)}"
            )
        if not isinstance(self.data, Data):
            raise WorkloadError(
                f"{reference}: data() must return runners.Data; got {type(self.data).__name__}"
            )
        metric = self.workload.quality_metric
        if not re.fullmatch(r"[A-Za-z_][\w./ -]*", metric) or metric in METRICS:
            raise WorkloadError(
                f"{reference}: quality_metric must be a name of letters, digits and _ - . / that "
                f"no other metric has; got {metric!r}"
            )
        names = sorted(self.models, key=lambda name: name != REFERENCE)
        fingerprint = digest(
            {"class": workload_class.__name__, "sources": sources, "data": self.data.digest}
        )
        self.info = WorkloadInfo(
            name=workload_class.__name__,
            fingerprint=fingerprint,
            models=tuple(names),
            quality_metric=metric,
            pipeline=self.pipeline,
            recipe=_plain(self.workload.recipe()),
        )

    def build_model(self, name: str) -> nn.Module:
        """Return an untrained model, initialized from the recipe's seed."""
        import torch

        if name not in self.models:
            raise WorkloadError(
                f"unknown student {name!r}: the workload offers {list(self.models)}"
            )
        torch.manual_seed(self.workload.recipe().seed)
        return self.models[name]()

    def score(
        self, outputs: NDArray[Any], split: str, rows: NDArray[np.int64] | None = None
    ) -> float:
        """Return the quality of outputs on a split, or on some of its samples.

        Args:
            outputs: One output a sample.
            split: ``"validation"`` or ``"test"``.
            rows: Which samples; one may come several times. All of them by default.

        Raises:
            WorkloadError: If the workload's metric fails or gives no finite number.
        """
        targets = getattr(self.data, split).targets
        if len(outputs) != len(targets):
            raise WorkloadError(f"{len(outputs)} outputs for the {len(targets)} samples of {split}")
        if rows is not None:
            outputs, targets = outputs[rows], targets[rows]
        value = self.workload.quality(outputs, targets)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise WorkloadError(f"quality() must return a number; got {type(value).__name__}")
        if not np.isfinite(value):
            raise WorkloadError(f"quality() must return a finite number; got {value}")
        return float(value)


def _plain(recipe: Recipe) -> Recipe:
    """Return a recipe without what a subclass of the user's adds: it goes to other processes."""
    return Recipe(**{each.name: getattr(recipe, each.name) for each in fields(Recipe)})


def _pipeline_of(reference: str, path: Path, workload: Workload) -> Path | None:
    if workload.pipeline is None:
        return None
    file = (path.parent / workload.pipeline).resolve()
    if not file.is_file():
        raise WorkloadError(f"{reference}: pipeline names {file}, which is not there")
    if type(workload).requests is Workload.requests:
        raise WorkloadError(
            f"{reference}: a pipeline needs requests to serve: write requests(split), which gives "
            f"what a service would receive for each sample of the split"
        )
    return file


def split_reference(reference: str, folder: Path) -> tuple[Path, str]:
    """Split ``file.py:ClassName`` into the file's absolute path and the name.

    Raises:
        WorkloadError: If a part is missing or the file does not exist.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name:
        raise WorkloadError(f"a workload is written FILE.py:CLASS; got {reference!r}")
    path = (folder / file).resolve()
    if not path.is_file():
        beside = sorted(p.name for p in folder.glob("*.py"))
        hint = f"; Python files there: {', '.join(beside)}" if beside else ""
        raise WorkloadError(f"there is no file {path}{hint}")
    return path, name


def load_attribute(reference: str, folder: Path) -> Any:
    """Import ``file.py:name`` and return what it names.

    Raises:
        WorkloadError: If the file or the name is missing, or importing it fails.
    """
    path, name = split_reference(reference, folder)
    module_name = f"paretune_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise WorkloadError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise WorkloadError(_their_line(reference, path, error)) from error
    if not hasattr(module, name):
        offered = [key for key in vars(module) if not key.startswith("_")]
        raise WorkloadError(f"{path.name} has no {name!r}; it has {', '.join(offered)}")
    return getattr(module, name)


def _load_class(reference: str, folder: Path) -> tuple[Path, type[Workload]]:
    workload_class = load_attribute(reference, folder)
    if not (isinstance(workload_class, type) and issubclass(workload_class, Workload)):
        raise WorkloadError(f"{reference} must name a subclass of runners.Workload")
    return split_reference(reference, folder)[0], workload_class


def _modules_beside(path: Path) -> set[Path]:
    """Return the workload's file and the files beside or below it that it has imported."""
    loaded = {Path(file).resolve() for m in list(sys.modules.values()) if (file := _file_of(m))}
    folder = path.parent
    return {path} | {
        file for file in loaded if folder in file.parents and "site-packages" not in file.parts
    }


def _file_of(module: object) -> str | None:
    """Return a module's source file; some modules (torch.ops) only pretend to have one."""
    spec = getattr(module, "__spec__", None)
    file = getattr(spec, "origin", None)
    return file if file and file.endswith(".py") and Path(file).is_file() else None


def _their_line(reference: str, path: Path, error: BaseException) -> str:
    """Say what failed in the user's file, and in which line of it."""
    if isinstance(error, SyntaxError):
        return f"{reference}: line {error.lineno}: {error.msg}"
    return f"{reference}: {line_in(path, error)}{type(error).__name__}: {error}"


def line_in(path: Path, error: BaseException) -> str:
    """Return the line of a file that an error came through, or nothing if it did not."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if Path(frame.filename) == path]
    return f"line {theirs[-1].lineno} ({theirs[-1].line}): " if theirs else ""
