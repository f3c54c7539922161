"""How to make a runner, as plain data: what a study's file says of it, for any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.workload.user_code import load_plugins


@dataclass(frozen=True)
class RunnerSetup:
    """How to make a runner; paths are relative to the study's folder, or absolute.

    Attributes:
        name: The runner's name in the study.
        runtime: The runtime's name.
        python: Path of the interpreter that has the runtime; ``None`` for Paretune's own.
        requirements: Packages of an environment to make for it, in pip's syntax; or ``None``.
        provider_options: Options of execution providers, by provider.
        provider_libraries: Paths of plug-in provider libraries, by the name to register them under.
        providers: The execution providers that the study asks for.
        plugins: Files that register the runtime, if it is not one of Paretune's own.
    """

    name: str
    runtime: str
    python: str | None = None
    requirements: tuple[str, ...] | None = None
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    provider_libraries: Mapping[str, str] = field(default_factory=dict)
    providers: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def runner(self, folder: Path, *, runs_here: bool = True) -> ProcessRunner:
        """Return the runner; make its environment if missing.

        Args:
            folder: The study's folder.
            runs_here: Whether it will run anything on this machine. One that only answers
                questions, such as which formats it takes, needs no environment.

        Raises:
            ParetuneError: If the environment cannot be made, or the runtime is unknown.
        """
        if self.runtime not in RUNTIMES.names:
            load_plugins(self.plugins, folder)
        python = None
        if self.requirements is not None and runs_here:
            python = interpreter(self.requirements)
        elif self.python is not None:
            python = folder / self.python
        libraries = {key: folder / path for key, path in self.provider_libraries.items()}
        record = RUNTIMES.get(self.runtime)
        return record.make_runner(self.name, python, self.provider_options, libraries)
