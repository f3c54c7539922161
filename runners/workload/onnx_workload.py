"""A workload from an ONNX file and some data: nothing is trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.data import Data, Split
from paretune.runners.workload.metrics.functions import WholeMetric
from paretune.runners.workload.metrics.judge import recorded_name
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.metrics.named import NAMED, is_named, named_metric
from paretune.runners.workload.model_file import given_inputs, model_output, read_arrays
from paretune.runners.workload.onnx_answers import onnx_answers
from paretune.runners.workload.protocol import Workload
from paretune.runners.workload.user_code import load_attribute, split_reference
from paretune.spaces import REFERENCE, WorkloadError

if TYPE_CHECKING:
    from torch import nn

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
            sample). For a model with one input, an ``.npy`` file is enough.
        labels: The labels: name of an array in the samples' file, or a file with one array.
        metric: ``accuracy``, ``f1``, ``mse``, ``cosine`` or another of :data:`NAMED`, with options
            if need be: ``accuracy(top_k=5, ignore=255)``. Or ``FILE.py:NAME``: a function that
            takes outputs and targets and returns a number, higher is better, or a
            :class:`paretune.QualityMetric`. The default is ``accuracy`` if the labels (or without
            labels, the model's outputs) are integers, and otherwise, without labels, ``cosine``.
    """

    model: str
    samples: str
    labels: str | None = None
    metric: str | None = None

    def __init__(self) -> None:
        self._folder = Path(inspect.getfile(type(self))).resolve().parent
        self._metric = self._find_metric()
        self.quality_metric = recorded_name(self._metric)

    def model_file(self) -> Path:
        """Return the ONNX file's path."""
        return self._folder / self.model

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference only: it has no PyTorch model."""
        return {REFERENCE: _no_module}

    def data(self) -> Data:
        """Read the samples and divide them.

        Raises:
            ParetuneError: If they do not fit the model, or are too few.
        """
        inputs = given_inputs(self.model_file(), self._folder / self.samples, self._label_name())
        count = len(inputs[0])
        if count < _FEWEST_SAMPLES or any(len(array) != count for array in inputs):
            counts = ", ".join(str(len(array)) for array in inputs)
            raise WorkloadError(
                f"{self.samples} has {counts} samples; every input needs the same number, and at "
                f"least {_FEWEST_SAMPLES}, for calibration, validation and test"
            )
        if self.labels is None:
            targets = onnx_answers(self.model_file(), inputs)
        else:
            targets = self._read_labels()
        whole = Split(inputs[0], targets, tuple(inputs[1:]))
        rows = np.random.default_rng(0).permutation(count)
        first = min(_MOST_CALIBRATION, count // 4)
        middle = first + (count - first) // 2
        calibration = whole.take(rows[:first])
        return Data(
            train=calibration,
            calibration=calibration,
            validation=whole.take(rows[first:middle]),
            test=whole.take(rows[middle:]),
        )

    def metrics(self) -> Sequence[QualityMetric]:
        """Return the metric, unless a subclass has a quality of its own."""
        return [self._metric] if type(self).quality is Workload.quality else []

    def depends_on(self) -> Sequence[Path]:
        """Return the other files that the workload names."""
        files = [self._folder / self.samples]
        if self.labels is not None and self._label_name() is None:
            files.append(self._folder / self.labels)
        if self.metric is not None and not is_named(self.metric):
            files.append(split_reference(self.metric, self._folder)[0])
        return files

    def _find_metric(self) -> QualityMetric:
        output = model_output(self.model_file())  # this explains that there is no PyTorch model
        if self.metric is None and self.labels is None:
            return named_metric("accuracy" if output.dtype.kind in "iub" else "cosine")
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
            return next(iter(arrays.values()))
        if name not in arrays:
            raise WorkloadError(
                f"cannot find the labels {self.labels!r}: there is neither a file with one array "
                f"of this name nor an array in {self.samples}, which has {', '.join(arrays)}"
            )
        return arrays[name]


def _no_module() -> nn.Module:
    raise WorkloadError(
        "an ONNX file has no PyTorch model, so it cannot be pruned, distilled or trained: write a "
        "workload with models() for that"
    )
