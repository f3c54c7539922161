"""How a single model file is run: on which runner, and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.workload.model_file import write_inputs
from paretune.spaces import DEFAULT_RUNNER


@dataclass(frozen=True)
class ModelSetup:
    """A runtime, how it runs a model, and on what.

    Attributes:
        runtime: The runtime's name, such as ``onnxruntime``.
        provider: Execution provider; the runtime's default by default.
        threads: Threads that one operator may use.
        python: Interpreter that has the runtime; this one by default.
        requirements: Or what pip installs into an environment made for it, once.
        provider_options: Options of the execution provider, by name.
        provider_libraries: Plug-in execution providers of ONNX Runtime: paths by name.
        dimensions: Sizes of dynamic dimensions other than the batch, by name.
        data: Samples, an ``.npz`` file with one array per input; random ones by default.
    """

    runtime: str = DEFAULT_RUNNER
    provider: str | None = None
    threads: int = 1
    python: Path | None = None
    requirements: Sequence[str] = ()
    provider_options: Mapping[str, str] = field(default_factory=dict)
    provider_libraries: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, int] = field(default_factory=dict)
    data: Path | None = None

    def runner(self) -> tuple[ProcessRunner, str]:
        """Return the runner and the provider."""
        python = interpreter([*self.requirements, "numpy"]) if self.requirements else self.python
        record = RUNTIMES.get(self.runtime)
        provider = self.provider or record.default_provider
        libraries = {name: Path(path).resolve() for name, path in self.provider_libraries.items()}
        options = {provider: dict(self.provider_options)}
        return record.make_runner("", python, options, libraries), provider

    def samples(self, model: Path, batch_size: int, folder: Path) -> Samples:
        """Write what to run a model on, and return it."""
        return Samples(
            write_inputs(model, folder, batch_size, data=self.data, dimensions=self.dimensions)
        )
