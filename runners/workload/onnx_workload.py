"""A workload from an ONNX file and some data: nothing is trained."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.data import Data, Dataset, Split
from paretune.runners.workload.datasets.arrays import is_mapped
from paretune.runners.workload.datasets.indexed import Subset
from paretune.runners.workload.metrics.functions import WholeMetric
from paretune.runners.workload.metrics.judge import recorded_name
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.metrics.named import NAMED, is_named, named_metric
from paretune.runners.workload.metrics.values import Cosine
from paretune.runners.workload.model_file import model_outputs, read_arrays
from paretune.runners.workload.onnx_files.answers import Original
from paretune.runners.workload.onnx_files.classes import class_numbers
from paretune.runners.workload.onnx_files.input_settings import InputSettings
from paretune.runners.workload.onnx_files.inputs import GivenInputs, given_inputs
from paretune.runners.workload.onnx_files.kept_answers import kept_answers
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.runners.workload.outputs import only_or_all
from paretune.runners.workload.protocol import Workload
from paretune.runners.workload.user_code import load_attribute, split_reference
from paretune.spaces import REFERENCE, WorkloadError

if TYPE_CHECKING:
    from torch import nn

WRITTEN = "Written by `paretune search --onnx`"
"""What a workload says that a command has written."""

_FEWEST_SAMPLES = 8
"""Samples that are needed for calibration, validation and test. Chosen by judgement."""

_MOST_CALIBRATION = 300
"""Samples for calibration: NNCF's own default, `subset_size`. The others judge."""


class OnnxWorkload(Workload):
    """A model that exists as an ONNX file, to be quantized and run as fast as possible.

    Without labels, quality is fidelity: how close the outputs stay to the original's. The samples
    are shuffled and divided: a quarter (at most 300) calibrates quantization, half of the rest is
    for the search, and the other half for published points. Paths are relative to the folder of the
    subclass's file.

    Attributes:
        model: The ONNX file.
        samples: An ``.npz`` file with one array per input of the model, by name (first axis: the
            sample), or a folder of ``.npy`` files, which may be larger than memory. For a model
            with one input, an ``.npy`` file is enough. An array of the shape of an input without an
            axis for the sample, such as a single number, is a constant.
        labels: The labels: name of an array in the samples' file, or a file with one array. Text
            labels are looked up among the file's own names of classes, unless a metric of your own
            judges them.
        metric: ``accuracy``, ``f1``, ``mse``, ``cosine`` or another of :data:`NAMED`, with options
            if need be: ``accuracy(top_k=5, ignore=255)``. Or ``FILE.py:NAME``: a function that
            takes outputs and targets and returns a number, higher is better, or a
            :class:`paretune.QualityMetric`. The default is ``accuracy`` if the labels are integers
            or, without labels, the model has one output and that is of integers; and otherwise,
            without labels, ``cosine``: the mean over all outputs.
        outputs: Names of the outputs that are judged; by default all that are tensors of numbers
            and have an axis for the sample. With labels, most metrics judge the first one.
        constants: Inputs that are the same in every call, by name: numbers, or lists of numbers.
        batch_axes: The batch axis of inputs and outputs where it is not the first, by name;
            ``None`` for an input that takes one sample without an axis for it.
        shapes: The sizes of an input's free dimensions, by name: its whole shape, in which the
            batch's size does not count. They are fixed in the files.
    """

    model: str
    samples: str
    labels: str | None = None
    metric: str | None = None
    outputs: Sequence[str] | None = None
    constants: Mapping[str, Any] = MappingProxyType({})
    batch_axes: Mapping[str, int | None] = MappingProxyType({})
    shapes: Mapping[str, Sequence[int]] = MappingProxyType({})

    def __init__(self) -> None:
        self._folder = Path(inspect.getfile(type(self))).resolve().parent
        self._metric = self._find_metric()
        self.quality_metric = recorded_name(self._metric)

    def model_file(self) -> Path:
        """Return the ONNX file's path."""
        # As a person would write it: errors name it.
        return Path(os.path.normpath(self._folder / self.model))

    def layout(self) -> Layout:
        """Return where the samples are in the model's inputs and outputs."""
        layout = self._original.layout
        if self.labels is None or self.outputs is not None or not self._judges_one:
            return layout
        first = next(iter(layout.outputs))
        return replace(layout, outputs={first: layout.outputs[first]})

    @property
    def _judges_one(self) -> bool:
        """Whether the metric looks at the first output alone."""
        return getattr(self._metric, "output", "") is None and not isinstance(self._metric, Cosine)

    def remarks(self) -> Sequence[str]:
        """Return what a person should know of how the model is judged, one line each.

        Raises:
            WorkloadError: If the model does not give its own answers (see ``check_batches``).
        """
        self._original.check_batches()
        remarks, judged = [*self._original.remarks], self.layout().outputs
        if others := [name for name in self._original.layout.outputs if name not in judged]:
            remarks.append(
                f"{self._metric.name} judges the output {next(iter(judged))!r} alone, not "
                f"{', '.join(map(repr, others))}: choose with --output"
            )
        return remarks

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference only: it has no PyTorch model."""
        return {REFERENCE: _no_module}

    def data(self) -> Data:
        """Read the samples and divide them.

        Raises:
            ParetuneError: If they do not fit the model, or are too few.
        """
        given = self._given
        counts = {name: len(array) for name, array in given.arrays.items()}
        if len(given) < _FEWEST_SAMPLES or len(set(counts.values())) > 1:
            raise WorkloadError(
                f"{self.samples} has {', '.join(map(str, counts.values()))} samples; every input "
                f"needs the same number, and at least {_FEWEST_SAMPLES}, for calibration, "
                "validation and test"
            )
        if self.labels is None:
            targets: Any = only_or_all(kept_answers(self._original, given))
        else:
            targets = self._read_labels()
        first, *further = given.arrays.values()
        whole = Split(first, targets, tuple(further))
        rows = np.random.default_rng(0).permutation(len(given))
        count = min(_MOST_CALIBRATION, len(given) // 4)
        middle = count + (len(given) - count) // 2
        calibration = _taken(whole, rows[:count])
        return Data(
            train=calibration,
            calibration=calibration,
            validation=_taken(whole, rows[count:middle]),
            test=_taken(whole, rows[middle:]),
        )

    def metrics(self) -> Sequence[QualityMetric]:
        """Return the metric, unless a subclass has a quality of its own."""
        return [self._metric] if type(self).quality is Workload.quality else []

    def depends_on(self) -> Sequence[Path]:
        """Return the other files that the workload names."""
        samples = self._folder / self.samples
        # What is in a folder, the data's digest tells.
        files = [] if samples.is_dir() else [samples]
        if self.labels is not None and self._label_name() is None:
            files.append(self._folder / self.labels)
        if self.metric is not None and not is_named(self.metric):
            files.append(split_reference(self.metric, self._folder)[0])
        return files

    @cached_property
    def _given(self) -> GivenInputs:
        settings = InputSettings(self.constants, self.batch_axes, self.shapes)
        data = self._folder / self.samples
        return given_inputs(self.model_file(), data, self._label_name(), settings)

    @cached_property
    def _original(self) -> Original:
        return Original(self.model_file(), self._given, self._judged, self.batch_axes)

    @cached_property
    def _judged(self) -> Sequence[str] | None:
        """The outputs that are judged; ``None`` for all that can be.

        Earlier versions judged the first output alone, and a study that one of them has written
        goes on with it.
        """
        source = Path(inspect.getfile(type(self))).read_text("utf-8")
        if WRITTEN in source and "outputs" not in vars(type(self)):
            return [model_outputs(self.model_file())[0].name]
        return self.outputs

    def _find_metric(self) -> QualityMetric:
        outputs = model_outputs(self.model_file())  # this explains that there is no PyTorch model
        if self.metric is None and self.labels is None:
            judged = [each for each in outputs if each.name in (self._judged or [each.name])]
            is_class = len(judged) == 1 and judged[0].dtype.kind in "iub"
            return named_metric("accuracy" if is_class else "cosine")
        if self.metric is None:
            if self._read_labels().dtype.kind not in "iub":
                raise WorkloadError(
                    f"the labels {self.labels!r} are not integers, so not classes: choose a "
                    f"metric, {', '.join(NAMED)} or FILE.py:FUNCTION"
                )
            return named_metric("accuracy")
        if is_named(self.metric):
            return named_metric(self.metric)
        if ":" not in self.metric:
            raise WorkloadError(
                f"metric must be {', '.join(NAMED)}, or FILE.py:FUNCTION; got {self.metric!r}"
            )
        found: Any = load_attribute(self.metric, self._folder)
        if isinstance(found, type):
            found = found()
        if hasattr(found, "update") and hasattr(found, "compute"):
            metric: QualityMetric = found
            return metric
        if not callable(found):
            raise WorkloadError(
                f"metric {self.metric!r} must name a function, or a class with update() and "
                f"compute(); got {found!r}"
            )
        name = self.metric.rpartition(":")[2]
        return WholeMetric(found, str(getattr(found, "__name__", name)))

    def _label_name(self) -> str | None:
        """Return the labels' name in the samples' file, if they are in it."""
        if self.labels is None or (self._folder / self.labels).is_file():
            return None
        return self.labels

    def _read_labels(self) -> NDArray[Any]:
        name = self._label_name()
        arrays = read_arrays(self._folder / (self.samples if name else str(self.labels)))
        if name is None and len(arrays) == 1:
            labels = next(iter(arrays.values()))
        elif name in arrays:
            labels = arrays[name]
        else:
            raise WorkloadError(
                f"cannot find the labels {self.labels!r}: there is neither a file with one array "
                f"of this name nor an array in {self.samples}, which has {', '.join(arrays)}"
            )
        # A metric of the user's own may judge text.
        is_own = self.metric is not None and not is_named(self.metric)
        if is_own or labels.dtype.kind not in "US":
            return labels
        return class_numbers(self.model_file(), labels)


def _taken(whole: Split, rows: NDArray[np.int64]) -> Dataset:
    """Return some samples of a split; of files that are larger than memory, without reading."""
    is_large = any(map(is_mapped, whole.all_inputs))
    return Subset(whole, rows) if is_large else whole.take(rows)


def _no_module() -> nn.Module:
    raise WorkloadError(
        "an ONNX file has no PyTorch model, so it cannot be pruned, distilled or trained: write a "
        "workload with models() for that"
    )
