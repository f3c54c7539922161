"""Export targets: what a picked model can be written for, one record each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from paretune.spaces.registry import Reference, Registry, resolve


@dataclass(frozen=True)
class ExportSettings:
    """What an export is for, beside the bundle.

    Attributes:
        name: The model's name at the target.
        rate_per_s: Requests per second that the service shall hold, if there is such a wish.
        peak_rate_per_s: The highest rate that it may be scaled out for.
        hit_rate: Share of requests, from 0 to 1, that a cache of answers is expected to answer;
            ``None`` for no cache.
        max_latency_ms: The latency budget of a request; only for a bundle without a serving plan.
        image: The container image that holds the service.
        storage_uri: Where the cluster reads the model from.
        server: The name of the target whose server goes into a container, or of the server whose
            metrics are monitored.
    """

    name: str
    rate_per_s: float | None = None
    peak_rate_per_s: float | None = None
    hit_rate: float | None = None
    max_latency_ms: float | None = None
    image: str | None = None
    storage_uri: str | None = None
    server: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given, the name aside, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: value for name, value in values.items() if name != "name" and value is not None
        }


@dataclass(frozen=True)
class TargetRecord:
    """A place where a picked model is used, that has a layout of its own.

    Attributes:
        name: Its name in ``paretune export --target NAME``.
        words: What is written, in half a line.
        write: Writes it. It takes a bundle's folder, the folder to write to, which may not be
            there yet or hold what was written earlier, and the model's name; it returns the path of
            the main file, and raises a ``StudyError`` for a point that the target cannot use.
        hint: A command that uses what was written, with ``{out}`` for the folder.
        settings: The names of the :class:`ExportSettings` that it reads, the name aside. Then
            ``write`` takes these settings in place of the name.
    """

    name: str
    words: str
    write: Reference
    hint: str = ""
    settings: tuple[str, ...] | None = None

    def export(self, bundle: Path, out: Path, settings: ExportSettings) -> Path:
        """Write a bundle's model for the target, and return the path of the main file.

        Raises:
            StudyError: If the target cannot use the point, or lacks something it needs.
        """
        write: Callable[[Path, Path, Any], Path] = resolve(self.write)
        return write(bundle, out, settings.name if self.settings is None else settings)

    def unread(self, settings: ExportSettings) -> list[str]:
        """Return the names of settings that were given and that this target does not read."""
        return [name for name in settings.given if name not in (self.settings or ())]


_OWN = "paretune.search.deliver.targets"

TARGETS: Registry[TargetRecord] = Registry(
    "target",
    "paretune.targets",
    (
        f"{_OWN}.triton:TRITON",
        f"{_OWN}.kserve:KSERVE",
        f"{_OWN}.openvino_model_server:OPENVINO_MODEL_SERVER",
        f"{_OWN}.mlserver:MLSERVER",
        f"{_OWN}.mlflow_model:MLFLOW",
        f"{_OWN}.litserve:LITSERVE",
        f"{_OWN}.bentoml:BENTOML",
        f"{_OWN}.rayserve:RAYSERVE",
        f"{_OWN}.docker:DOCKER",
        f"{_OWN}.prometheus:PROMETHEUS",
        f"{_OWN}.grafana:GRAFANA",
    ),
)
"""All export targets."""
