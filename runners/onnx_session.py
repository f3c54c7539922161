"""ONNX Runtime in our own processes: for checks and answers, never for a measurement."""

from __future__ import annotations

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
