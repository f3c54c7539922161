"""A candidate: one point of the search space, split into what is built and how it is run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from paretune.spaces.axes import AXES, INSTANCES, OWN_AXES, REFERENCE, WORKERS, Value
from paretune.spaces.digest import digest
from paretune.spaces.errors import SpaceError
from paretune.spaces.graph_optimization import GraphOptimization
from paretune.spaces.quantization import Quantization
from paretune.spaces.scheme import SCHEMES

_OWN = frozenset(axis.name for axis in OWN_AXES)

DEFAULT_RUNNER = "onnxruntime"
"""The runner of an execution provider that names none."""


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """The part of a candidate that decides the artifact.

    Attributes:
        student: Architecture to build, a name from the workload; ``"reference"`` is the user's own
            model, which is not distilled.
        pruning_ratio: Share of channels to remove from each prunable layer, in [0, 1).
        quantization: How weights and activations are stored.
        fp32_layer_share: Share of the layers that the quantization leaves in fp32, the most
            sensitive ones, in [0, 1).
    """

    student: str
    pruning_ratio: float
    quantization: Quantization
    fp32_layer_share: float = 0.0

    def __post_init__(self) -> None:
        if not self.student:
            raise SpaceError("student must be a name from the workload; got an empty text")
        for name, what in (
            ("pruning_ratio", "channels to remove"),
            ("fp32_layer_share", "layers to leave in fp32"),
        ):
            value = getattr(self, name)
            share = _number(name, value)
            if not 0.0 <= share < 1.0:
                raise SpaceError(
                    f"{name} (the share of {what}) must be at least 0 and below 1; got {value!r}"
                )
            object.__setattr__(self, name, share + 0.0)
        scheme = SCHEMES.get(self.quantization)
        object.__setattr__(self, "quantization", Quantization(scheme.name))

    @property
    def is_compressed(self) -> bool:
        """Whether the reference model is changed at all."""
        return self != BuildSpec(REFERENCE, 0.0, Quantization.FP32)

    @property
    def scheme(self) -> str:
        """The quantization in words, with what it leaves in fp32."""
        share = self.fp32_layer_share
        return self.quantization.value + (f" but {100 * share:.3g}%" if share else "")

    def is_compressed_less(self, other: "BuildSpec") -> bool:
        """Tell whether it is compressed less than another, and so should be no worse."""
        # Called for hundreds of thousands of pairs: the most selective test comes first.
        if self.student == other.student:
            if self.pruning_ratio > other.pruning_ratio:
                return False
        elif self.student != REFERENCE or self.pruning_ratio > 0:
            return False
        if self.quantization == other.quantization:
            return self.fp32_layer_share >= other.fp32_layer_share and self != other
        return self.quantization.is_no_coarser(other.quantization)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """The part of a candidate that decides how an artifact runs.

    Attributes:
        runner: Name of the runner (device and runtime), such as ``"onnxruntime"``.
        execution_provider: The runtime's back end, such as ``"CPUExecutionProvider"``.
        batch_size: Samples in one inference call.
        intra_op_threads: Threads that one operator may use.
        graph_optimization: ONNX Runtime's level; other runtimes have no such choice.
        options: The values of further axes (:data:`paretune.spaces.AXES`), by name, sorted.
    """

    runner: str
    execution_provider: str
    batch_size: int
    intra_op_threads: int
    graph_optimization: GraphOptimization = GraphOptimization.ALL
    options: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        for name in ("runner", "execution_provider"):
            if not getattr(self, name):
                raise SpaceError(f"{name} must be a name; got an empty text")
        counts = {name: getattr(self, name) for name in ("batch_size", "intra_op_threads")}
        for name, value in {**counts, INSTANCES.name: self.instances}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpaceError(f"{name} must be a whole number of at least 1; got {value!r}")
        level = _member("graph_optimization", GraphOptimization, self.graph_optimization)
        object.__setattr__(self, "graph_optimization", level)
        if self.options:  # JSON gives lists
            options = tuple(sorted((str(name), value) for name, value in self.options))
            object.__setattr__(self, "options", options)

    @property
    def instances(self) -> int:
        """Sessions side by side in one process, timed together: an axis that few spaces have."""
        return dict(self.options).get(INSTANCES.name, 1)  # type: ignore[return-value]

    @property
    def threads(self) -> int:
        """Threads of all instances together."""
        return self.instances * self.intra_op_threads

    @property
    def launch_threads(self) -> int:
        """The cores that a launch needs: for the model's threads, or the pipeline's workers."""
        workers = dict(self.options).get(WORKERS, 1)
        return max(self.threads, workers if isinstance(workers, int) else 1)

    @property
    def alone(self) -> "RunSpec":
        """The same run with one instance, for what does not depend on their number."""
        return self.with_instances(1)

    def with_instances(self, instances: int) -> "RunSpec":
        """Return the same run with so many instances."""
        others = tuple(each for each in self.options if each[0] != INSTANCES.name)
        more = ((INSTANCES.name, instances),) if instances != 1 else ()
        return replace(self, options=(*others, *more))

    @property
    def answering(self) -> dict[str, Value]:
        """The values of further axes on which answers may depend, by name."""
        return {name: value for name, value in self.options if AXES.get(name).changes_answers}

    @property
    def session_options(self) -> dict[str, int]:
        """The values for ONNX Runtime's ``SessionOptions``, by name."""
        return {
            "intra_op_num_threads": self.intra_op_threads,
            "inter_op_num_threads": 1,
            "graph_optimization_level": self.graph_optimization.level,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; options only if there are any."""
        values = asdict(self)
        if not self.options:
            del values["options"]
        return values

    @property
    def target(self) -> str:
        """``runner/execution_provider``, the value of the execution_provider axis."""
        return f"{self.runner}/{self.execution_provider}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of the search space.

    Attributes:
        build: The part that decides the artifact (expensive: minutes to hours).
        run: How to execute the artifact (cheap: seconds).
    """

    build: BuildSpec
    run: RunSpec

    @property
    def digest(self) -> str:
        """Canonical SHA-256; two candidates are the same if and only if it is equal."""
        return digest(self.as_dict())

    @property
    def params(self) -> dict[str, str | int | float]:
        """The value on each axis, by axis name, in the axes' order."""
        return {
            "student": self.build.student,
            "pruning_ratio": self.build.pruning_ratio,
            "quantization": self.build.quantization.value,
            "fp32_layer_share": self.build.fp32_layer_share,
            "batch_size": self.run.batch_size,
            "execution_provider": self.run.target,
            "intra_op_threads": self.run.intra_op_threads,
            "graph_optimization": self.run.graph_optimization.value,
            **dict(self.run.options),
        }

    @property
    def label(self) -> str:
        """A short name for a log line."""
        level = self.run.graph_optimization
        return (
            f"{self.build.student} · prune {self.build.pruning_ratio:g} · "
            f"{self.build.scheme} · batch {self.run.batch_size} · "
            f"{self.run.target.removesuffix('ExecutionProvider')} · "
            f"{self.run.intra_op_threads} thr"
            + (f" · graph {level}" if level != GraphOptimization.ALL else "")
            + "".join(f" · {name} {value}" for name, value in self.run.options)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON, without axes that were added later.

        So a candidate with the default on such an axis keeps its digest.
        """
        build, run = asdict(self.build), self.run.as_dict()
        if not self.build.fp32_layer_share:
            del build["fp32_layer_share"]
        if self.run.graph_optimization == GraphOptimization.ALL:
            del run["graph_optimization"]
        return {"build": build, "run": run}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Candidate":
        """Undo :meth:`as_dict`."""
        return cls(BuildSpec(**values["build"]), RunSpec(**values["run"]))

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Candidate":
        """Undo :attr:`params`.

        An execution provider without a runner (``CPUExecutionProvider``) belongs to the runner
        ``onnxruntime``; any other is written ``runner/provider``.
        """
        runner, provider = split_target(params["execution_provider"])
        return cls(
            BuildSpec(
                params["student"],
                params["pruning_ratio"],
                params["quantization"],
                params.get("fp32_layer_share", 0.0),
            ),
            RunSpec(
                runner,
                provider,
                params["batch_size"],
                params["intra_op_threads"],
                params.get("graph_optimization", GraphOptimization.ALL),
                tuple(sorted((n, v) for n, v in params.items() if n not in _OWN)),
            ),
        )


def split_target(target: str) -> tuple[str, str]:
    """Split ``runner/provider`` (or a bare provider of the default runner) into its two names."""
    runner, separator, provider = target.partition("/")
    return (runner, provider) if separator else (DEFAULT_RUNNER, target)


def _member(name: str, names: type[StrEnum], value: Any) -> StrEnum:
    try:
        return names(value)
    except ValueError:
        raise SpaceError(f"{name} must be one of {', '.join(names)}; got {value!r}") from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpaceError(f"{name} must be a number; got {value!r}")
    return float(value)
