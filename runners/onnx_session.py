"""ONNX Runtime in our own processes: for checks and answers, never for a measurement."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.runners.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    import onnxruntime

ERRORS_ONLY = 3
"""ONNX Runtime's log level for errors; below it, it warns about every graph it improves."""


def cpu_session(model: Path | bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return a session of a model on the processor, without telemetry, that logs errors only.

    Args:
        model: The file, or its bytes.
        threads: Threads of one operator; 0 for one per core. With one, sums have a fixed order, so
            outputs are equal to the last bit.

    Raises:
        Exception: ONNX Runtime's own, if it rejects the model.
    """
    switch_off_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def basic_form(model: bytes) -> bytes:
    """Return an equal model after ONNX Runtime's basic optimizations.

    What can be computed from constants has been, branches that a constant chooses are gone, and
    batch normalization is part of the convolution before it. All operators are ONNX's own.

    Raises:
        Exception: ONNX Runtime's own, if it rejects the model.
    """
    switch_off_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def is_numeric(kind: str) -> bool:
    """Return whether a type as ONNX Runtime names it, ``tensor(float)``, holds numbers."""
    return kind.startswith("tensor(") and kind != "tensor(string)"
