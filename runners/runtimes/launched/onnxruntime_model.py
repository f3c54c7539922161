"""ONNX Runtime: a session on the requested provider only."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .backend import Job, Node
from .refusal import RefusedError, refuse


class OnnxRuntimeModel:
    """An inference session.

    Args:
        job: The job.
        settings: Attributes of ``SessionOptions`` to set.
    """

    def __init__(self, job: Job, **settings: Any) -> None:
        self.job = job
        self.session = _session(job, settings)
        self.input_names = [value.name for value in self.session.get_inputs()]
        self._outputs = [output.name for output in self.session.get_outputs()]
        first = {value.shape[0] for value in self.session.get_inputs() if value.shape}
        self.has_fixed_batch = len(first) == 1 and isinstance(first.pop(), int)

    def feed(self, arrays: Sequence[Any]) -> dict[str, Any]:
        """Return the arrays by input name."""
        return dict(zip(self.input_names, arrays, strict=True))

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Run the session."""
        outputs: Sequence[Any] = self.session.run(self._outputs, feed)
        return outputs

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return the nodes from the runtime's own profile, in a profiling session."""
        prefix = str(Path(self.job["folder"]) / "onnxruntime_profile")
        profiled = OnnxRuntimeModel(self.job, enable_profiling=True, profile_file_prefix=prefix)
        for _ in range(calls):
            profiled(feed)
        events = json.loads(Path(profiled.session.end_profiling()).read_text("utf-8"))
        nodes: dict[str, Node] = {}
        for event in events:
            arguments = event.get("args", {})
            if not arguments.get("provider") or not event["name"].endswith("_kernel_time"):
                continue
            name = event["name"].removesuffix("_kernel_time")
            node = nodes.setdefault(
                name,
                {
                    "node": name,
                    "operator": arguments.get("op_name", ""),
                    "provider": arguments["provider"],
                    "ms_per_call": 0.0,
                },
            )
            node["ms_per_call"] += event["dur"] / 1e3 / calls
        return list(nodes.values())


def load(job: Job) -> OnnxRuntimeModel:
    """Load the job's model."""
    return OnnxRuntimeModel(job)


def describe(job: Job) -> dict[str, Any]:
    """Return the providers that this ONNX Runtime has, those of plug-ins, and those it knows."""
    import onnxruntime as ort

    plugged = {device.ep_name for device in _plugged_devices(job)}
    available = ort.get_available_providers()
    return {
        "available": [*available, *sorted(plugged - set(available))],
        "known": ort.get_all_providers(),
        "versions": {"onnxruntime": ort.__version__},
    }


def _session(job: Job, settings: dict[str, Any]) -> Any:
    import onnxruntime as ort

    provider = job["execution_provider"]
    options = ort.SessionOptions()
    options.intra_op_num_threads = job["intra_op_threads"]
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel(job["graph_optimization_level"])
    options.log_severity_level = 3
    for key, value in settings.items():
        setattr(options, key, value)
    built_in = provider in ort.get_available_providers()
    plugged = [device for device in _plugged_devices(job) if device.ep_name == provider]
    if plugged:
        options.add_provider_for_devices(plugged, job["options"])
    elif not built_in:
        libraries = "".join(
            f"; the plug-in library {name} finds no device here" for name in job["libraries"]
        )
        raise RefusedError(
            "unsupported",
            f"this onnxruntime {ort.__version__} has no {provider}; it has "
            f"{', '.join(ort.get_available_providers())}{libraries}",
        )
    providers = [] if plugged else [(provider, job["options"])]
    try:
        session = ort.InferenceSession(job["model"], options, providers=providers)
    except Exception as error:
        broken = type(error).__name__ in ("InvalidProtobuf", "NoSuchFile")
        raise refuse(
            "ONNX Runtime cannot load the model", error, "invalid" if broken else "unsupported"
        ) from error
    if session.get_providers()[0] != provider:
        raise RefusedError(
            "unsupported",
            f"asked for {provider}, but ONNX Runtime fell back to {session.get_providers()[0]}",
        )
    return session


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
