"""A workload in use: its models and data, requested once and checked."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.metric import is_quality
from paretune.runners.workload.data import Batch, Data, Split, first_batch
from paretune.runners.workload.metrics.classes import Accuracy
from paretune.runners.workload.metrics.functions import WholeMetric
from paretune.runners.workload.metrics.judge import guarded, judge, paired, recorded_name
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.offered_pipeline import OfferedPipeline
from paretune.runners.workload.onnx_files.answers import answers_of
from paretune.runners.workload.onnx_weights import external_files
from paretune.runners.workload.outputs import first_output, named_outputs
from paretune.runners.workload.protocol import Workload
from paretune.runners.workload.recipe import Recipe
from paretune.runners.workload.source.parts import PartsReader
from paretune.runners.workload.students.student import Origin, located, origin_of, weight_files
from paretune.runners.workload.user_code import load_attribute, split_reference, their_line
from paretune.spaces import REFERENCE, ParetuneError, WorkloadError, digest

if TYPE_CHECKING:
    from torch import nn

TARGETS_AT_ONCE = 256
"""Samples whose targets are read at a time. Chosen by judgement."""

_CHECKED = 32
"""Samples that the metrics look at before anything is trained. Chosen by judgement."""


@dataclass(frozen=True)
class WorkloadInfo:
    """A description of a workload for the study, without its code.

    Attributes:
        name: Name of the workload's class.
        fingerprint: SHA-256 of its code, its data and the files it depends on.
        parts: The digests that it is made of, by the words for what they are of.
        judging: SHA-256 of the metrics, the layout and the validation split, which a quality is of.
        models: Names of its models, the reference first.
        quality_metric: Name of its quality metric.
        pipeline: Its pre- and post-processing file, if it has one.
        offered: The axes and parts that this file offers.
        recipe: Its recipe for training.
        is_file: Whether the reference is an ONNX file.
        unfit: Why a scheme does not apply to it, by the scheme's name.
        remarks: What a person should know before the search, one line each.
    """

    name: str
    fingerprint: str
    parts: Mapping[str, str]
    judging: str
    models: tuple[str, ...]
    quality_metric: str
    pipeline: Path | None = None
    offered: OfferedPipeline = field(default_factory=OfferedPipeline)
    recipe: Recipe = field(default_factory=Recipe)
    is_file: bool = False
    unfit: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


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
        _seed()
        try:
            self.workload: Workload = workload_class()
            self.models = {
                name: located(construct, path.parent)
                for name, construct in self.workload.models().items()
            }
            self.data = self.workload.data()
            model_file = self.workload.model_file()
            self.model_file = model_file and path.parent / model_file
            self.layout = self.workload.layout()
            files = [path.parent / file for file in self.workload.depends_on()]
            own: list[Path] = []
            if self.model_file:
                own = [self.model_file, *external_files(self.model_file)]
            files += weight_files(self.models.values())
            self.pipeline = _pipeline_of(reference, path, self.workload)
            around = self.pipeline and OfferedPipeline.of(self.pipeline)
            self.offered = around or OfferedPipeline()
            if self.pipeline and len(self.data.test.input_names) > 1:
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
        self.reference = reference
        self.metrics = metrics_of(self.workload)
        recorded = [recorded_name(metric) for metric in self.metrics]
        for metric in recorded:
            if not re.fullmatch(r"[A-Za-z_][\w./ -]*", metric) or not is_quality(metric):
                raise WorkloadError(
                    f"{reference}: quality_metric must be a new name of letters, digits and "
                    f"_ - . /; got {metric!r}"
                )
        names = sorted(self.models, key=lambda name: name != REFERENCE)
        try:
            reader = PartsReader(self.workload, path, files)
            self.parts = reader.read(
                self.models, self.data, self.metrics, self.layout, own, self.pipeline
            )
        except ParetuneError:
            raise
        except (Exception, SystemExit) as error:  # of data that is read now
            raise WorkloadError(their_line(reference, path, error)) from error
        self.info = WorkloadInfo(
            name=workload_class.__name__,
            fingerprint=digest(self.parts.digests),
            parts=self.parts.digests,
            judging=self.parts.judging,
            models=tuple(names),
            quality_metric=recorded[0],
            pipeline=self.pipeline,
            offered=self.offered,
            recipe=_plain(self.workload.recipe()),
            is_file=self.model_file is not None,
        )

    def origin(self, name: str) -> Origin:
        """Return where a model's first weights come from."""
        return origin_of(self.models[name]) if name in self.models else "fresh"

    def build_model(self, name: str) -> nn.Module:
        """Return a model as it is constructed, initialized from the recipe's seed."""
        import torch

        if name not in self.models:
            raise WorkloadError(
                f"unknown student {name!r}: the models of the workload are {list(self.models)}"
            )
        torch.manual_seed(self.workload.recipe().seed)
        return self.models[name]()

    def score(self, outputs: Any, split: str) -> float:
        """Return the objective's value for outputs on a split.

        Args:
            outputs: An array whose first axis is the sample, or such arrays by name.
            split: ``"validation"`` or ``"test"``.

        Raises:
            WorkloadError: If a metric fails or is not a finite number.
        """
        named = named_outputs(outputs)
        if len(first_output(named)) != len(getattr(self.data, split)):
            raise WorkloadError(
                f"got {len(first_output(named))} outputs for the "
                f"{len(getattr(self.data, split))} samples of {split}"
            )
        return judge(self.metrics, paired([named], self.targets(split))).value

    def targets(self, split: str) -> Iterator[Any]:
        """Yield the targets of a split, batch by batch."""
        data = getattr(self.data, split)
        if isinstance(data, Split):
            yield from data.target_batches(TARGETS_AT_ONCE)
        else:
            yield from (batch.targets for batch in data.batches(TARGETS_AT_ONCE))

    def check_metrics(self) -> None:
        """Let the untrained reference answer some samples, and the metrics look at the answers.

        So what does not fit together is said before anything is trained. An ONNX file is asked
        itself.

        Raises:
            WorkloadError: If the model cannot be called so, or a metric cannot take its outputs.
        """
        batch = first_batch(self.data.validation, _CHECKED)
        try:
            outputs = self._answers(batch)
        except ParetuneError:
            raise
        except (Exception, SystemExit) as error:
            told = their_line(self.reference, self.path, error)
            raise WorkloadError(f"{told} (the first call of the reference)") from error
        for metric in map(deepcopy, self.metrics):
            for pair in paired([outputs], [batch.targets]):
                guarded(metric.update, *pair)

    def _answers(self, batch: Batch) -> dict[str, NDArray[Any]]:
        if self.model_file is not None:
            return answers_of(self.model_file, list(batch.inputs.values()), self.layout)
        import torch

        from paretune.runners.workload.learning.forward import as_array, forward

        model = self.build_model(REFERENCE).eval()
        inputs = {name: torch.from_numpy(array) for name, array in batch.inputs.items()}
        with torch.no_grad():
            return {name: as_array(each) for name, each in forward(model, inputs).items()}


def metrics_of(workload: Workload) -> list[QualityMetric]:
    """Return what judges a workload, the objective first.

    Raises:
        WorkloadError: If two metrics have one name.
    """
    found = list(workload.metrics())
    own, named = type(workload), workload.quality_metric
    if own.quality is not Workload.quality:
        found.insert(0, WholeMetric(workload.quality, named))
    elif not found:
        found = [Accuracy(named)]
    elif named != Workload.quality_metric:
        found.sort(key=lambda metric: named not in (metric.name, recorded_name(metric)))
    names = [recorded_name(metric) for metric in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise WorkloadError(f"two metrics are called {', '.join(twice)}: give each its own name")
    return found


def _seed() -> None:
    """Let what the workload draws without a seed be the same in every process."""
    random.seed(0)
    np.random.seed(0)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


def _check_tensors(reference: str, data: Data) -> None:
    """Check that a PyTorch model can take the splits' inputs."""
    splits = (data.train, data.calibration, data.validation, data.test)
    names = {tuple(split.input_names) for split in splits}
    if len(names) > 1:
        found = sorted({len(each) for each in names})
        told = found if len(found) > 1 else sorted(names)
        raise WorkloadError(
            f"{reference}: every split needs the same number of inputs, of the same names; got "
            f"{told}: add further_inputs to the others"
        )
    for split in splits:
        arrays = split.all_inputs if isinstance(split, Split) else first_batch(split, 1).inputs
        given = arrays.values() if isinstance(arrays, Mapping) else arrays
        if any(array.dtype == np.float64 for array in given):
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
