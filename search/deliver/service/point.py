"""A picked point as a service: the figures that every target's configuration needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretune.runners.metric import FIRST_CALL, LOADING, PEAK_MEMORY, USUAL_LATENCY
from paretune.runners.runtimes.onnxruntime_runner import CUDA, TENSORRT
from paretune.runners.workload.onnx_files.layout import Constant, Layout
from paretune.search.deliver.bundle import MANIFEST_VERSION
from paretune.search.deliver.bundle_folder import MANIFEST
from paretune.search.deliver.capacity.serving_plan import ServingPlan
from paretune.search.deliver.target import ExportSettings
from paretune.spaces import GraphOptimization, StudyError

_ON_NVIDIA = (CUDA, TENSORRT)
"""Execution providers that need an NVIDIA card."""

_THREAD_OPTIONS = ("num_of_threads", "intra_op_num_threads", "INFERENCE_NUM_THREADS")
"""Options of execution providers that hold the number of threads."""


@dataclass(frozen=True)
class ServicePoint:
    """A bundle's point with the figures to serve it by.

    Figures come from the bundle's serving plan. Without one they are the measured ones: one
    instance, and calls of the measured batch.

    Attributes:
        bundle: The bundle's folder.
        manifest: Its manifest.
        plan: Its serving plan, if ``paretune capacity`` made one.
        settings: What the export is for.
    """

    bundle: Path
    manifest: dict[str, Any]
    plan: ServingPlan | None
    settings: ExportSettings

    @classmethod
    def of_bundle(cls, bundle: Path, settings: ExportSettings) -> ServicePoint:
        """Read a bundle.

        Raises:
            StudyError: If there is no manifest, or this version cannot read it or the plan.
        """
        path = bundle / MANIFEST
        try:
            manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise StudyError(
                f"cannot read {path}: {error}; name a folder that `paretune pick --out` wrote"
            ) from error
        version = manifest.get("manifest_version", MANIFEST_VERSION)
        if version != MANIFEST_VERSION:
            raise StudyError(
                f"{path} has manifest version {version}; this version of Paretune reads "
                f"{MANIFEST_VERSION}: pick again"
            )
        return cls(bundle, manifest, ServingPlan.of_bundle(bundle), settings)

    @property
    def name(self) -> str:
        """The model's name at the target."""
        return self.settings.name

    @property
    def runtime(self) -> str:
        """The runtime that was measured, such as ``onnxruntime``."""
        return str(self.manifest["run"]["runtime"])

    @property
    def provider(self) -> str:
        """The execution provider that was measured."""
        return str(self.manifest["run"]["execution_provider"])

    @property
    def is_on_nvidia(self) -> bool:
        """Whether it runs on an NVIDIA card."""
        return self.provider in _ON_NVIDIA

    @property
    def instances(self) -> int:
        """Sessions side by side in one replica."""
        return self.plan.instances if self.plan else 1

    @property
    def threads(self) -> int:
        """Threads of an operator, per instance."""
        if self.plan:
            return self.plan.threads
        return int(self.manifest["run"]["session_options"]["intra_op_num_threads"])

    @property
    def cores(self) -> int:
        """Processor cores of one replica."""
        return self.instances * self.threads

    @property
    def graph_level(self) -> int:
        """ONNX Runtime's level of graph optimization."""
        session = self.manifest["run"]["session_options"]
        return int(session.get("graph_optimization_level", GraphOptimization.ALL.level))

    @property
    def provider_options(self) -> dict[str, str]:
        """The options of the provider as measured, with the number of threads of an instance."""
        options = dict(self.manifest["run"].get("provider_options", {}))
        return {k: str(self.threads) if k in _THREAD_OPTIONS else v for k, v in options.items()}

    @cached_property
    def layout(self) -> Layout:
        """Where the samples are in inputs and outputs."""
        told = self.manifest.get("layout")
        return Layout.from_dict(told) if told else Layout()

    @property
    def measured_batch(self) -> int:
        """Samples per call of the measurement."""
        return int(self.manifest["run"]["batch_size"])

    @cached_property
    def constants(self) -> dict[str, Constant]:
        """The inputs that are the same in every call, by name; not those built into the model."""
        names = [each["name"] for each in self.manifest["model"]["inputs"]]
        return {name: each for name, each in self.layout.constants.items() if name in names}

    @cached_property
    def input_axes(self) -> dict[str, int | None]:
        """The batch axis of each input that holds samples, by the model's own name for it."""
        names = [each["name"] for each in self.manifest["model"]["inputs"]]
        return _axes([n for n in names if n not in self.layout.constants], self.layout.inputs)

    @cached_property
    def output_axes(self) -> dict[str, int | None]:
        """The batch axis of each output that is judged, by the model's own name for it."""
        names = [each["name"] for each in self.manifest["model"]["outputs"]]
        return _axes(names, self.layout.outputs)

    @cached_property
    def _batch_sizes(self) -> list[Any] | None:
        """The size of the batch in each tensor of samples; ``None`` if some have no axis for it."""
        model = self.manifest["model"]
        shapes = [
            *(
                (self.input_axes[e["name"]], e["shape"])
                for e in model["inputs"]
                if e["name"] in self.input_axes
            ),
            *(
                (self.output_axes[e["name"]], e["shape"])
                for e in model["outputs"]
                if e["name"] in self.output_axes
            ),
        ]
        if any(axis is None or len(shape) <= axis for axis, shape in shapes):
            return None
        return [shape[axis] for axis, shape in shapes]

    @property
    def has_batch_axis(self) -> bool:
        """Whether a call takes several samples, each in a row of every tensor."""
        return self._batch_sizes is not None

    @property
    def fixed_batch(self) -> int | None:
        """The number of samples that the model's file fixes for each call, if it does."""
        fixed = [size for size in self._batch_sizes or () if isinstance(size, int) and size > 0]
        return max(fixed, default=None)

    @property
    def max_batch(self) -> int:
        """Most samples in one call: of the file, of the plan, or of the measurement."""
        if not self.has_batch_axis:
            return 1
        if self.fixed_batch is not None:
            return self.fixed_batch
        return self.plan.max_batch if self.plan else self.measured_batch

    @property
    def queue_delay_ms(self) -> float:
        """Longest time for which a call waits for more requests.

        Of the plan; else what the budget leaves after the p95 of a full call; without a budget, 0.
        """
        if self.max_batch == 1:
            return 0.0
        if self.plan:
            return self.plan.queue_delay_ms
        if self.settings.max_latency_ms is None:
            return 0.0
        return max(0.0, self.settings.max_latency_ms - self.measured(USUAL_LATENCY))

    @property
    def start_ms(self) -> float:
        """From the start to the first answer: of a replica, or without a plan of the session."""
        if self.plan:
            return self.plan.start_ms
        return self.measured(LOADING) + self.measured(FIRST_CALL)

    @property
    def memory_bytes(self) -> float:
        """Peak resident memory of a replica, or without a plan of the measured process."""
        return self.plan.memory_bytes if self.plan else self.measured(PEAK_MEMORY)

    @property
    def budget_ms(self) -> float | None:
        """The latency budget of a request, if there is one."""
        return self.plan.max_latency_ms if self.plan else self.settings.max_latency_ms

    def measured(self, metric: str) -> float:
        """Return a published value of the point.

        Raises:
            StudyError: If the bundle lacks it.
        """
        try:
            return float(self.manifest["metrics"][metric]["value"])
        except KeyError:
            raise StudyError(f"{self.bundle / MANIFEST} has no {metric}: pick again") from None

    def needed_plan(self, what: str) -> ServingPlan:
        """Return the serving plan.

        Args:
            what: What needs it, for the message.

        Raises:
            StudyError: If the bundle has none.
        """
        if self.plan is None:
            raise StudyError(
                f"{what} needs the capacity of a replica, and {self.bundle} has no serving plan: "
                f"run `paretune capacity {self.bundle} --max-p99-ms MS` first"
            )
        return self.plan

    @property
    def replicas(self) -> int:
        """Replicas that hold the wished rate without help from a cache; 1 if there is no wish.

        Raises:
            StudyError: If there is a rate, but no plan.
        """
        if self.settings.rate_per_s is None:
            return 1
        return self.needed_plan("a number of replicas (--rate)").replicas(self.settings.rate_per_s)

    @property
    def origin(self) -> str:
        """Where the figures of the service come from, in words."""
        if self.plan is None:
            return (
                "one instance and the measured batch, because there is no serving plan; run "
                "`paretune capacity BUNDLE --max-p99-ms MS` and export again for better ones"
            )
        kind = "measured" if self.plan.is_measured else "predicted"
        low, high = self.plan.capacity_per_s.ends
        return (
            f"paretune capacity: {self.plan.capacity_per_s.value:.4g} requests/s ({kind}; "
            f"{low:.4g} to {high:.4g}) with p{self.plan.percentile} ≤ "
            f"{self.plan.max_latency_ms:g} ms"
        )


def _axes(names: Sequence[str], told: Mapping[str, int | None]) -> dict[str, int | None]:
    """Return batch axes by the model's names: the first axis, unless a layout tells others.

    Another format than the layout's may have other names; then the order decides.
    """
    if not told:
        return dict.fromkeys(names, 0)
    if set(told) <= set(names):
        return dict(told)
    return dict(zip(names, told.values(), strict=False))
