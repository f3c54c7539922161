"""OpenVINO in our own processes: to convert and quantize, never for a measurement."""

from __future__ import annotations

from typing import Any

from paretune.runners.signal_stack import signal_stack_kept
from paretune.runners.telemetry import switch_off_telemetry


def import_openvino() -> Any:
    """Return OpenVINO's module, without its telemetry.

    Raises:
        ImportError: If it is not installed.
    """
    switch_off_telemetry()
    import openvino

    return openvino


def conversion_reason(error: Exception) -> str:
    """Return in a line why OpenVINO cannot convert a model: the last of the error's lines."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    return f"OpenVINO cannot convert the model: {lines[-1] if lines else type(error).__name__}"


def capabilities() -> list[str]:
    """Return what OpenVINO computes in on this processor, such as ``FP32`` and ``BF16``."""
    with signal_stack_kept():
        core = import_openvino().Core()
        found: list[str] = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def fastest_float() -> str:
    """Return the fastest precision of floating point that loses no range: ``bf16`` or ``f32``."""
    return "bf16" if "BF16" in capabilities() else "f32"
