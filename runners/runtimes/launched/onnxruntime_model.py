"""ONNX Runtime: a session on the requested provider only."""

import importlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .backend import Job, Node, Placed, placement
from .counters import beyond_the_memory_limit
from .cuda import libraries
from .cuda.bound_session import BoundSession
from .cuda.runtime import CudaRuntime
from .refusal import RefusedError, refuse
from .samples import batch_axes
from .timing import alive

_RECORDS_NODES = "session.record_ep_graph_assignment_info"
_GRAPH = "enable_cuda_graph"
_WATCHED = ("predict", "profile")
"""Jobs whose session is profiled from its start, until :meth:`OnnxRuntimeModel.profile`."""


class OnnxRuntimeModel:
    """An inference session.

    Args:
        job: The job.
        settings: Attributes of ``SessionOptions`` to set.
    """

    def __init__(self, job: Job, **settings: Any) -> None:
        import onnxruntime as ort

        self.job = job
        self.provider: str = job["execution_provider"]
        # The replay of a CUDA graph is one event; the same nodes run without it.
        self._is_watched = job.get("action") in _WATCHED and job["options"].get(_GRAPH) != "1"
        if self._is_watched:
            settings = {**_watch(job), **settings}
        runtime = _card(ort, job)
        if runtime is not None and runtime.stream:
            stream = {"user_compute_stream": str(runtime.stream)}
            job = {**job, "options": {**job["options"], **stream}}
        self.session = _session(ort, job, settings)
        inputs = self.session.get_inputs()
        self.input_names = [value.name for value in inputs]
        self.output_names = [output.name for output in self.session.get_outputs()]
        self.has_fixed_batch = _has_fixed_batch(job, inputs)
        self._started: Path | None = Path(job["folder"]) / "started"
        self._bound: BoundSession | None = None
        if self.provider in libraries.PROVIDER_LIBRARIES:
            self._bound = BoundSession(ort, self.session, ("cuda", _device_id(job)), runtime)

    def feed(self, arrays: Sequence[Any]) -> dict[str, Any]:
        """Return the arrays by input name, for a card in page-locked memory."""
        named = dict(zip(self.input_names, arrays, strict=True))
        return named if self._bound is None else self._bound.stage(named)

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Run the session; on a card, the outputs are overwritten by the next call."""
        if self._bound is None:
            outputs: Sequence[Any] = self.session.run(self.output_names, feed)
            return outputs
        outputs = self._bound(feed)
        if self._started is not None:
            self._started.touch()  # what has built its engine is timed from now on
            self._started = None
        return outputs

    def resident(self, feed: Any) -> Callable[[], None] | None:
        """Return a call whose inputs and outputs stay on the card, or ``None`` if it has none."""
        return None if self._bound is None else self._bound.resident(feed)

    def proof(self) -> dict[str, Any]:
        """Return what this session ran on: its providers by now, and the nodes of each.

        Raises:
            RefusedError: If it left the requested provider since it was made.
        """
        registered = list(self.session.get_providers())
        if registered[0] != self.provider:
            raise RefusedError(
                "unsupported",
                f"asked for {self.provider}, but ONNX Runtime changed to {registered[0]} meanwhile",
            )
        options = dict(self.session.get_provider_options().get(self.provider, {}))
        options.pop("user_compute_stream", None)  # an address
        host = {} if self._bound is None else {"host_memory": self._bound.host_memory}
        return {
            "registered": registered,
            **placement(_assigned(self.session), self.provider),
            "options": {**options, **host},
        }

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return the nodes from the runtime's own profile of this session, or of one like it."""
        profiled = self
        if not self._is_watched:
            options = {k: v for k, v in self.job["options"].items() if k != _GRAPH}
            profiled = OnnxRuntimeModel({**self.job, "options": options}, **_watch(self.job))
        for _ in range(1 + calls):
            profiled(feed)
            alive()
        events = json.loads(Path(profiled.session.end_profiling()).read_text("utf-8"))
        self._is_watched = False
        cold = [place for place, event in enumerate(events) if event["name"] == "model_run"]
        events = events[cold[0] + 1 :] if cold else events
        # Names need not be unique in ONNX: one node of a name may run here, another elsewhere.
        nodes: dict[tuple[str, str, str], Node] = {}
        for event in events:
            arguments = event.get("args", {})
            if not arguments.get("provider") or not event["name"].endswith("_kernel_time"):
                continue
            name = event["name"].removesuffix("_kernel_time")
            key = name, arguments.get("op_name", ""), arguments["provider"]
            placed: Node = {"node": name, "operator": key[1], "provider": key[2], "ms_per_call": 0}
            node = nodes.setdefault(key, placed)
            if node["provider"] != self.provider:
                node["tensors"] = _tensors(arguments)
            node["ms_per_call"] += event["dur"] / 1e3 / calls
        return list(nodes.values())


def _has_fixed_batch(job: Job, inputs: Sequence[Any]) -> bool:
    """Return whether the batch axes of a session's inputs have one size, which is fixed."""
    axes = batch_axes(job, [value.name for value in inputs])
    sizes = {value.shape[axes[value.name]] for value in inputs if axes.get(value.name) is not None}
    return len({size for size in sizes if isinstance(size, int)}) == 1


def prepare() -> None:
    """Import the runtime."""
    importlib.import_module("onnxruntime")


def load(job: Job) -> OnnxRuntimeModel:
    """Load the job's model."""
    return OnnxRuntimeModel(job)


def describe(job: Job) -> dict[str, Any]:
    """Return the providers that this ONNX Runtime has, those of plug-ins, and those it knows.

    A provider for NVIDIA's cards that is compiled in, but does not run here, is ``missing`` with
    its reason.
    """
    import onnxruntime as ort

    plugged = {device.ep_name for device in _plugged_devices(job)}
    available = ort.get_available_providers()
    reasons = {
        provider: libraries.why_not(ort, provider)
        for provider in libraries.PROVIDER_LIBRARIES
        if provider in available
    }
    missing = {provider: reason for provider, reason in reasons.items() if reason}
    versions = {"onnxruntime": ort.__version__}
    if len(missing) < len(reasons):
        versions |= libraries.versions(ort)
    return {
        "available": [
            *(each for each in available if each not in missing),
            *sorted(plugged - set(available)),
        ],
        "known": ort.get_all_providers(),
        "missing": missing,
        "versions": versions,
    }


def _watch(job: Job) -> dict[str, Any]:
    """Return the settings of a session that is profiled."""
    prefix = str(Path(job["folder"]) / "onnxruntime_profile")
    return {"enable_profiling": True, "profile_file_prefix": prefix}


def _session(ort: Any, job: Job, settings: dict[str, Any]) -> Any:
    provider = job["execution_provider"]
    options = ort.SessionOptions()
    options.intra_op_num_threads = job["intra_op_threads"]
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel(job["graph_optimization_level"])
    options.log_severity_level = 3
    options.add_session_config_entry(_RECORDS_NODES, "1")
    for key, value in settings.items():
        setattr(options, key, value)
    for name, size in job.get("dimensions", {}).items():
        options.add_free_dimension_override_by_name(name, size)
    built_in = provider in ort.get_available_providers()
    plugged = [device for device in _plugged_devices(job) if device.ep_name == provider]
    if plugged:
        options.add_provider_for_devices(plugged, job["options"])
    elif not built_in:
        known = "".join(
            f"; the plug-in library {name} finds no device here" for name in job["libraries"]
        )
        raise RefusedError(
            "unsupported",
            f"this onnxruntime {ort.__version__} has no {provider}; it has "
            f"{', '.join(ort.get_available_providers())}{known}",
        )
    providers = [(provider, job["options"]), *job.get("others", {}).items()]
    try:
        # With its fallback, a session that fails goes on with the CPU, while it is timed as well.
        session = ort.InferenceSession(
            job["model"], options, providers=[] if plugged else providers, enable_fallback=0
        )
    except Exception as error:
        broken = type(error).__name__ in ("InvalidProtobuf", "NoSuchFile")
        raise refuse(
            "ONNX Runtime cannot load the model", error, "invalid" if broken else "unsupported"
        ) from error
    found = session.get_providers()[0]
    if found != provider:
        reason = ""
        if provider in libraries.PROVIDER_LIBRARIES:
            reason = libraries.unloadable(ort, provider)
        raise RefusedError(
            "unsupported",
            f"asked for {provider}, but ONNX Runtime fell back to {found}"
            + (f": {reason}" if reason else ""),
        )
    if job["options"].get(_GRAPH) == "1":
        _check_shapes(session)
    return session


def _card(ort: Any, job: Job) -> CudaRuntime | None:
    """Return CUDA's runtime with the context of the job's card; ``None`` without a card."""
    provider = job["execution_provider"]
    if (
        provider not in libraries.PROVIDER_LIBRARIES
        or provider not in ort.get_available_providers()
    ):
        return None
    if job.get("others", {}).get("CUDAExecutionProvider", {}).get("use_tf32") == "0":
        # TensorRT's provider has no option for it; the environment is asked by its libraries.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    libraries.preload(ort)
    try:
        runtime = CudaRuntime(_device_id(job), libraries.cuda_major(ort))
    except OSError:
        return None  # the session will not load either, and says what is missing
    # What the driver reserves for itself in the host's memory is not the model's.
    with beyond_the_memory_limit():
        runtime.open()
    if "others" not in job and job["options"].get(_GRAPH) != "1":  # it has a stream of its own
        runtime.make_stream()
    return runtime


def _device_id(job: Job) -> int:
    return int(job["options"].get("device_id", "0"))


def _check_shapes(session: Any) -> None:
    """Refuse a CUDA graph for inputs of changing shapes: it would replay the first one's."""
    for value in session.get_inputs():
        free = [str(size) for size in value.shape if not isinstance(size, int)]
        if free:
            raise RefusedError(
                "unsupported",
                f"{_GRAPH} needs fixed shapes, but the input {value.name} has the dimensions "
                f"{', '.join(free)} beside the batch: leave {_GRAPH} out of the provider's options",
            )


def _assigned(session: Any) -> list[Placed]:
    """Return every node with the provider that it was assigned to; empty if it does not tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return []
    found: list[Placed] = []
    for part in session.get_provider_graph_assignment_info():
        for node in part.get_nodes():
            name = node.name or f"{node.op_type} {len(found)}"
            found.append({"node": name, "operator": node.op_type, "provider": part.ep_name})
    return found


def _tensors(arguments: Mapping[str, Any]) -> list[list[Any]]:
    """Return the type and the number of elements of each tensor that a node wrote and read."""
    tensors = [*arguments.get("output_type_shape", [])]
    if arguments.get("op_name") not in ("Shape", "Size"):  # they do not read their input's data
        tensors += arguments.get("input_type_shape", [])
    return [[dtype, math.prod(shape)] for each in tensors for dtype, shape in each.items()]


def _plugged_devices(job: Job) -> list[Any]:
    """Register the job's plug-in provider libraries, and return the devices they offer."""
    import onnxruntime as ort

    if not job["libraries"]:
        return []
    if not hasattr(ort, "register_execution_provider_library"):
        raise RefusedError(
            "unsupported",
            f"onnxruntime {ort.__version__} takes no plug-in provider libraries; use 1.22 or newer",
        )
    known = {device.ep_name for device in ort.get_ep_devices()}
    for name, path in job["libraries"].items():
        if name in known:
            continue
        try:
            ort.register_execution_provider_library(name, path)
        except Exception as error:
            if "already registered" in str(error):
                continue
            raise refuse(f"cannot load the provider library {path}", error) from error
    return list(ort.get_ep_devices())
