"""The axes of a search: Paretune's own, one record each, and those of other packages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paretune.spaces.registry import Registry

Value = str | int | float

REFERENCE = "reference"
"""The student name of the user's own trained model."""


WORKERS = "preprocess_workers"
"""The axis of a pipeline that counts its own threads: a launch has that many cores, if they are
more than the model's threads.
"""


@dataclass(frozen=True)
class AxisRecord:
    """One knob that a search may turn.

    An axis that is not one of Paretune's own says how an artifact is run: its value reaches the
    timed process as ``job["axes"][name]``, and the runtimes that read it name it in their record.

    Attributes:
        name: Its name in study files, and in everything kept.
        words: What it is, in half a line.
        baseline: The value of the uncompressed reference, run as runtimes do by themselves. Every
            space holds it. ``None`` where there is no such value.
        is_build: Whether it decides the artifact; the others say how that is run.
        is_ordered: Whether neighbouring values behave alike (a count or a ratio, not a name). Whole
            numbers are at least 1: they are compared by their logarithms.
        is_share: Whether its values are shares, in [0, 1).
        is_optional: Whether a space need not name it; then it has its baseline's value only.
        changes_answers: Whether a model may answer differently on it, as it may on another provider
            or in other shapes. Qualities are kept without the values of axes that do not.
        is_of_pipeline: Whether it is offered by the pipeline around a study's model. Its value
            reaches the pipeline's functions, in every runtime.
    """

    name: str
    words: str
    baseline: Value | None = None
    is_build: bool = False
    is_ordered: bool = False
    is_share: bool = False
    is_optional: bool = False
    changes_answers: bool = True
    is_of_pipeline: bool = False

    @classmethod
    def of_pipeline(cls, name: str, values: Sequence[Value]) -> AxisRecord:
        """Return the record of an axis that a pipeline offers; its first value is the baseline's.

        It is ordered if all values are fractions, or whole numbers of at least 1.
        """
        counts = [v for v in values if isinstance(v, float) or (isinstance(v, int) and v >= 1)]
        return cls(
            name,
            "a choice of the pipeline around the model",
            values[0],
            is_ordered=len(counts) == len(values),
            is_of_pipeline=True,
        )


STUDENT = AxisRecord("student", "which of the workload's models", REFERENCE, is_build=True)
PRUNING_RATIO = AxisRecord(
    "pruning_ratio",
    "share of channels to remove",
    0.0,
    is_build=True,
    is_ordered=True,
    is_share=True,
)
QUANTIZATION = AxisRecord(
    "quantization", "how weights and activations are stored", "fp32", is_build=True
)
FP32_LAYER_SHARE = AxisRecord(
    "fp32_layer_share",
    "share of the layers left in fp32: those that cost most accuracy for their gain",
    0.0,
    is_build=True,
    is_ordered=True,
    is_share=True,
    is_optional=True,
)
BATCH_SIZE = AxisRecord("batch_size", "samples in one inference call", is_ordered=True)
EXECUTION_PROVIDER = AxisRecord("execution_provider", "runner and back end")
INTRA_OP_THREADS = AxisRecord("intra_op_threads", "threads of one operator", is_ordered=True)
GRAPH_OPTIMIZATION = AxisRecord(
    "graph_optimization", "how far the graph is rewritten", "all", is_optional=True
)

INPUT_SHAPES = AxisRecord(
    "input_shapes",
    "`free` as in the file, or `fixed` to those of the samples when the runtime compiles",
    "free",
    is_optional=True,
)

INSTANCES = AxisRecord(
    "instances",
    "sessions side by side in one process, each with its own threads, timed together",
    1,
    is_ordered=True,
    is_optional=True,
    changes_answers=False,
)

OWN_AXES = (
    STUDENT,
    PRUNING_RATIO,
    QUANTIZATION,
    FP32_LAYER_SHARE,
    BATCH_SIZE,
    EXECUTION_PROVIDER,
    INTRA_OP_THREADS,
    GRAPH_OPTIMIZATION,
)
"""The axes that every space has, in order; those that decide the artifact come first."""

_NAMES = [*(axis.name for axis in OWN_AXES), INPUT_SHAPES.name, INSTANCES.name]

AXES: Registry[AxisRecord] = Registry(
    "axis", "paretune.axes", [f"paretune.spaces.axes:{name.upper()}" for name in _NAMES]
)
"""All axes."""
