"""Registers the SIMULATED runtime and its card, as a plug-in would."""

from pathlib import Path

from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES, RuntimeRecord
from paretune.spaces import RunSpec


class SimulatedRunner(ProcessRunner):
    """Runs models in the simulated runtime."""

    def device(self, run: RunSpec) -> str:
        """Return the simulated card."""
        return f"gpu:{self.options(run).get('device_id', '0')}"


RUNTIMES.register(
    RuntimeRecord(
        "simulated",
        model_format="onnx",
        default_provider="SimulatedCUDA",
        backend=Path(__file__).with_name("card_backend.py"),
        runner=SimulatedRunner,
    )
)
