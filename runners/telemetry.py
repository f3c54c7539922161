"""Switches off the telemetry of libraries before they are imported: nothing phones home."""

import os
import sys


def switch_off_telemetry() -> None:
    """Switch off the telemetry of MLflow, NNCF and ONNX Runtime, here and in child processes."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["NNCF_CI"] = "1"
    # Since 1.29, its Linux packages report every session to Microsoft.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # NNCF sends through this package, and works without it if it cannot be imported.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
