"""How to run a single model file: the runner and the inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.workload.onnx_files.input_settings import InputSettings
from paretune.runners.workload.onnx_files.inputs import check_batch, given_inputs
from paretune.runners.workload.onnx_files.random_inputs import random_inputs
from paretune.spaces import DEFAULT_RUNNER, ParetuneError, RunSpec


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
        dimensions: Sizes of dynamic dimensions other than the batch, by name or ``INPUT:AXIS``.
        shapes: Sizes of all dimensions of an input, by its name; that of the batch does not count.
        constants: Values of inputs that are the same in every call, by name.
        batch_axes: The batch axis of inputs where it is not the first, by name.
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
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    batch_axes: Mapping[str, int | None] = field(default_factory=dict)
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
            run = RunSpec(runner.name, provider, batch_size, self.threads)
            yield runner, run, self.samples(model, folder, batch_size)

    def samples(self, model: Path, folder: Path, batch_size: int) -> Samples:
        """Write the inputs of a model, and return where they are.

        Args:
            model: The model file.
            folder: Where to write.
            batch_size: Samples in one call.

        Raises:
            ParetuneError: If they do not fit the model, or a dimension has no size.
        """
        settings = InputSettings(self.constants, self.batch_axes, self.shapes, self.dimensions)
        if self.data:
            given = given_inputs(model, self.data, settings=settings)
        else:
            given = random_inputs(model, batch_size, settings)
        if len(set(map(len, given.arrays.values()))) > 1 or not len(given):
            counts = ", ".join(f"{name!r} {len(array)}" for name, array in given.arrays.items())
            raise ParetuneError(
                f"{self.data}: every input needs the same number of samples, and at least one; "
                f"got {counts}"
            )
        check_batch(model, given.layout, batch_size)
        inputs = []
        for place, array in enumerate(given.arrays.values()):
            inputs.append(folder / f"input_{place}.npy")
            np.save(inputs[-1], array)
        return Samples(inputs, layout=given.layout, keeps_outputs=False)
