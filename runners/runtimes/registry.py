"""The runtimes that a runner can have, one record each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from paretune.spaces.registry import Reference, Registry, resolve

if TYPE_CHECKING:
    from paretune.runners.runtimes.process_runner import ProcessRunner


@dataclass(frozen=True)
class RuntimeRecord:
    """A runtime: what it runs, and what runs in the process that is timed.

    Attributes:
        name: Its name; a runner of that name needs no entry in a study file.
        model_format: The name of the format that it takes.
        other_formats: The names of formats that it takes as well, for schemes that exist in these
            only.
        default_provider: The execution provider it is tried with unless one is named.
        backend: The file that the timed process loads. It has ``load(job)``, which returns a
            ``Model``, and ``describe(job)`` (see ``runners/runtimes/launched/backend.py``), and
            imports numpy and the runtime at most: the process may have nothing else.
        runner: The class of its runners, a ``ProcessRunner``.
        axes: The names of the axes that mean something to it, beside the batch size, the provider
            and the threads, which do to all.
        takes_libraries: Whether execution providers can be plugged in, as libraries.
        serves_in_mlflow: Whether MLflow's ONNX flavor runs its models as they were measured.
        needs: What an execution provider needs that is not there, by provider.
        unusable: Why an execution provider is not tried, by provider.
        start_s: Seconds that a process may take, beyond its deadline, until its first call has
            ended, by provider: for those that compile a model or build an engine then. The backend
            writes a file ``started`` into the job's folder at that moment.
        requirements: What pip installs for an execution provider, by provider, into an environment
            of its own.
    """

    name: str
    model_format: str
    default_provider: str
    backend: Path
    runner: Reference = "paretune.runners.runtimes.process_runner:ProcessRunner"
    other_formats: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    takes_libraries: bool = False
    serves_in_mlflow: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    start_s: Mapping[str, float] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of all formats that it takes, the first choice first."""
        return (self.model_format, *self.other_formats)

    def make_runner(
        self,
        name: str = "",
        python: Path | None = None,
        provider_options: Mapping[str, Mapping[str, str]] | None = None,
        provider_libraries: Mapping[str, Path] | None = None,
    ) -> ProcessRunner:
        """Return a runner of this runtime; the arguments are those of ``ProcessRunner``."""
        kind = resolve(self.runner)
        made: ProcessRunner = kind(name, python, provider_options, provider_libraries, record=self)
        return made


LAUNCHED = Path(__file__).with_name("launched")
"""The folder of what runs in the timed process."""

_ROOM = "paretune.runners.runtimes"

RUNTIMES: Registry[RuntimeRecord] = Registry(
    "runtime",
    "paretune.runtimes",
    (
        f"{_ROOM}.onnxruntime_runner:ONNXRUNTIME",
        f"{_ROOM}.openvino_runner:OPENVINO",
        f"{_ROOM}.pytorch_runner:PYTORCH",
    ),
)
"""All runtimes."""
