"""A workload in use: its models and data, requested once and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.metric import METRICS
from paretune.runners.workload.data import Data
from paretune.runners.workload.onnx_weights import external_files
from paretune.runners.workload.protocol import Workload
from paretune.runners.workload.recipe import Recipe
from paretune.runners.workload.source.parts import PartsReader
from paretune.runners.workload.user_code import load_attribute, split_reference, their_line
from paretune.spaces import REFERENCE, ParetuneError, WorkloadError, digest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class WorkloadInfo:
    """A description of a workload for the study, without its code.

    Attributes:
        name: Name of the workload's class.
        fingerprint: SHA-256 of its code, its data and the files it depends on.
        parts: The digests that it is made of, by the words for what they are of.
        judging: SHA-256 of the metric and the validation split: what a quality belongs to.
        models: Names of its models, the reference first.
        quality_metric: Name of its quality metric.
        pipeline: Its pre- and post-processing file, if it has one.
        recipe: Its recipe for training.
        is_file: Whether the reference is an ONNX file.
    """

    name: str
    fingerprint: str
    parts: Mapping[str, str]
    judging: str
    models: tuple[str, ...]
    quality_metric: str
    pipeline: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)
    is_file: bool = False


class LoadedWorkload:
    """A workload with its models and data, requested once.

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
            model_file = self.workload.model_file()
            self.model_file = model_file and path.parent / model_file
            files = [path.parent / file for file in self.workload.depends_on()]
            own: list[Path] = []
            if self.model_file:
                own = [self.model_file, *external_files(self.model_file)]
            self.pipeline = _pipeline_of(reference, path, self.workload)
            if self.pipeline and self.data.test.further_inputs:
                raise WorkloadError(
                    f"{reference}: a pipeline makes a single input from a request, but this model "
                    "takes several: leave out `pipeline`"
                )
            for file in (*files, *own):
                if not file.is_file():
                    raise WorkloadError(
                        f"{reference}: depends_on() names {file}, which does not exist"
                    )
        except ParetuneError as error:
            raise WorkloadError(str(error)) from error
        except (Exception, SystemExit) as error:
            raise WorkloadError(their_line(reference, path, error)) from error
        if REFERENCE not in self.models:
            raise WorkloadError(
                f"{reference}: models() must include {REFERENCE!r}, the model to compress; got "
                f"{list(self.models)}"
            )
        if not isinstance(self.data, Data):
            raise WorkloadError(
                f"{reference}: data() must return paretune.Data; got {type(self.data).__name__}"
            )
        if self.model_file is None:
            _check_tensors(reference, self.data)
        metric = self.workload.quality_metric
        if not re.fullmatch(r"[A-Za-z_][\w./ -]*", metric) or metric in METRICS:
            raise WorkloadError(
                f"{reference}: quality_metric must be a new name of letters, digits and _ - . /; "
                f"got {metric!r}"
            )
        names = sorted(self.models, key=lambda name: name != REFERENCE)
        reader = PartsReader(self.workload, path, files)
        self.parts = reader.read(self.models, self.data, own, self.pipeline)
        self.info = WorkloadInfo(
            name=workload_class.__name__,
            fingerprint=digest(self.parts.digests),
            parts=self.parts.digests,
            judging=digest([self.parts.metric.digest, self.parts.splits["validation"]]),
            models=tuple(names),
            quality_metric=metric,
            pipeline=self.pipeline,
            recipe=_plain(self.workload.recipe()),
            is_file=self.model_file is not None,
        )

    def build_model(self, name: str) -> nn.Module:
        """Return an untrained model, initialized from the recipe's seed."""
        import torch

        if name not in self.models:
            raise WorkloadError(
                f"unknown student {name!r}: the models of the workload are {list(self.models)}"
            )
        torch.manual_seed(self.workload.recipe().seed)
        return self.models[name]()

    def score(
        self, outputs: NDArray[Any], split: str, rows: NDArray[np.int64] | None = None
    ) -> float:
        """Return the quality of outputs on a split, or on some of its samples.

        Args:
            outputs: One output per sample.
            split: ``"validation"`` or ``"test"``.
            rows: The samples to use, with repeats; all by default.

        Raises:
            WorkloadError: If the workload's metric fails or returns no finite number.
        """
        targets = getattr(self.data, split).targets
        if len(outputs) != len(targets):
            raise WorkloadError(
                f"got {len(outputs)} outputs for the {len(targets)} samples of {split}"
            )
        if rows is not None:
            outputs, targets = outputs[rows], targets[rows]
        value = self.workload.quality(outputs, targets)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise WorkloadError(f"quality() must return a number; got {type(value).__name__}")
        if not np.isfinite(value):
            raise WorkloadError(f"quality() must return a finite number; got {value}")
        return float(value)


def _check_tensors(reference: str, data: Data) -> None:
    """Check that a PyTorch model can take the splits' inputs."""
    splits = (data.train, data.calibration, data.validation, data.test)
    counts = {len(split.all_inputs) for split in splits}
    if len(counts) > 1:
        raise WorkloadError(
            f"{reference}: every split needs the same number of inputs; got {sorted(counts)}: add "
            "further_inputs to the others"
        )
    for split in splits:
        if any(array.dtype == np.float64 for array in split.all_inputs):
            raise WorkloadError(
                f"{reference}: inputs of a split are float64, but PyTorch models take float32: "
                "use .astype(numpy.float32)"
            )


def _plain(recipe: Recipe) -> Recipe:
    """Return a recipe without attributes of a user's subclass: it is sent to other processes."""
    return Recipe(**{each.name: getattr(recipe, each.name) for each in fields(Recipe)})


def _pipeline_of(reference: str, path: Path, workload: Workload) -> Path | None:
    if workload.pipeline is None:
        return None
    file = (path.parent / workload.pipeline).resolve()
    if not file.is_file():
        raise WorkloadError(f"{reference}: pipeline names {file}, which does not exist")
    if type(workload).requests is Workload.requests:
        raise WorkloadError(
            f"{reference}: a pipeline needs requests to serve: write requests(split), which "
            "returns what a service would receive for each sample of the split"
        )
    return file


def _load_class(reference: str, folder: Path) -> tuple[Path, type[Workload]]:
    workload_class = load_attribute(reference, folder)
    if not (isinstance(workload_class, type) and issubclass(workload_class, Workload)):
        raise WorkloadError(f"{reference} must name a subclass of paretune.Workload")
    return split_reference(reference, folder)[0], workload_class
