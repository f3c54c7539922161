"""How to run a single model file: the runner and the inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.workload.model_file import write_inputs
from paretune.spaces import DEFAULT_RUNNER, RunSpec


@dataclass(frozen=True)
class ModelSetup:
    """A runtime, its settings, and the inputs of a model.

    Attributes:
        runtime: The runtime's name, such as ``onnxruntime``.
        provider: Execution provider; the runtime's default by default.
        threads: Threads per operator.
        python: Interpreter that has the runtime; this one by default.
        requirements: Or packages to install into an environment that is made once.
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

    @contextmanager
    def ready(
        self, model: Path, batch_size: int
    ) -> Iterator[tuple[ProcessRunner, RunSpec, Samples]]:
        """Yield the runner, how it runs a model, and the inputs, which are written for this time.

        Args:
            model: The model file.
            batch_size: Samples in one call.
        """
        python = interpreter([*self.requirements, "numpy"]) if self.requirements else self.python
        record = RUNTIMES.get(self.runtime)
        provider = self.provider or record.default_provider
        libraries = {name: Path(path).resolve() for name, path in self.provider_libraries.items()}
        options = {provider: dict(self.provider_options)}
        runner = record.make_runner("", python, options, libraries)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            inputs = write_inputs(
                model, folder, batch_size, data=self.data, dimensions=self.dimensions
            )
            run = RunSpec(runner.name, provider, batch_size, self.threads)
            yield runner, run, Samples(inputs)
