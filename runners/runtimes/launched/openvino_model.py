"""OpenVINO: a model compiled for one device, for one batch size."""

from collections.abc import Collection, Sequence
from typing import Any

from .backend import Job, Node
from .refusal import RefusedError, refuse
from .samples import batch_axes, call_shapes
from .timing import alive

_HINT = "INFERENCE_PRECISION_HINT"
_PRECISION = ["paretune", "inference_precision"]
"""Where a model that Paretune saved says in which precision it is computed."""

_PLACES = ("Exception from ", "Check '", "FrontEnd API failed")
"""How lines of OpenVINO's errors begin that name a place in its code."""


class OpenVinoModel:
    """A compiled model and one infer request.

    The batch axis is fixed to the job's batch size before compilation, as for serving; on the axis
    ``input_shapes``, ``fixed`` fixes all other sizes, too.
    """

    has_fixed_batch = True

    def __init__(self, job: Job, **settings: Any) -> None:
        self.job = job
        self.device = job["execution_provider"]
        self._is_watched = job.get("action") in ("predict", "profile")
        if self._is_watched:
            settings = {"PERF_COUNT": True, **settings}
        compiled = _compile(job, settings)
        ran_on = ",".join(compiled.get_property("EXECUTION_DEVICES"))
        if not is_device(ran_on, self.device):
            raise RefusedError(
                "unsupported", f"asked for {self.device}, but OpenVINO compiled for {ran_on}"
            )
        self.request = compiled.create_infer_request()
        known = {*(job["output_axes"] or ()), *(each["name"] for each in job["inputs"])}
        self.input_names = [_name(port, known) for port in compiled.inputs]
        self.output_names = [_name(port, known) for port in compiled.outputs]

    def feed(self, arrays: Sequence[Any]) -> dict[int, Any]:
        """Return the arrays by input position."""
        return dict(enumerate(arrays))

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Infer without copying; the outputs are overwritten by the next call."""
        results = self.request.infer(feed, share_inputs=True, share_outputs=True)
        return list(results.values())

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return the nodes from the request's profiling information."""
        profiled = self if self._is_watched else OpenVinoModel(self.job, PERF_COUNT=True)
        profiled(feed)  # cold
        nodes: dict[str, Node] = {}
        for _ in range(calls):
            profiled(feed)
            alive()
            for info in profiled.request.profiling_info:
                if info.status.name != "EXECUTED":
                    continue
                node = nodes.setdefault(
                    info.node_name,
                    {
                        "node": info.node_name,
                        "operator": info.node_type,
                        "provider": self.device,
                        "ms_per_call": 0.0,
                    },
                )
                node["ms_per_call"] += info.real_time.total_seconds() * 1e3 / calls
        return list(nodes.values())


def prepare() -> None:
    """Import the runtime."""
    _openvino()


def load(job: Job) -> OpenVinoModel:
    """Load the job's model."""
    return OpenVinoModel(job)


def is_device(executed_on: str, asked_for: str) -> bool:
    """Return whether the device of ``EXECUTION_DEVICES`` is the one that was asked for.

    OpenVINO names graphics cards by their driver there (``OCL_GPU.0``), and the first one of
    several without its number elsewhere (``GPU``).
    """
    name = executed_on.removeprefix("OCL_")
    return name == asked_for or name == f"{asked_for}.0"


def describe(job: Job) -> dict[str, Any]:
    """Return the devices that this OpenVINO finds, and those it knows."""
    openvino = _openvino()
    return {
        "available": openvino.Core().available_devices,
        "known": ["CPU", "GPU", "NPU"],
        "versions": {"openvino": openvino.__version__},
    }


def _compile(job: Job, settings: dict[str, Any]) -> Any:
    openvino = _openvino()
    core = openvino.Core()
    device = job["execution_provider"]
    if device not in core.available_devices:
        raise RefusedError(
            "unsupported",
            f"this openvino {openvino.__version__} has no device {device}; it has "
            f"{', '.join(core.available_devices)}",
        )
    try:
        model = core.read_model(job["model"])
    except Exception as error:
        raise _refused("OpenVINO cannot read the model", error, "invalid") from error
    config = {**job["options"], **settings}
    if model.has_rt_info(_PRECISION):
        config[_HINT] = model.get_rt_info(_PRECISION).value
    try:
        shapes: dict[Any, Any] = {}
        known = {each["name"] for each in job["inputs"]}
        names = [_name(port, known) for port in model.inputs]
        axes = batch_axes(job, names)
        is_fixed = job["axes"].get("input_shapes") == "fixed"
        calls = call_shapes(job, names) if is_fixed else {}
        for name, port in zip(names, model.inputs, strict=True):
            if name in calls:
                shapes[port] = list(calls[name])
                continue
            shape, axis = port.get_partial_shape(), axes.get(name)
            has_axis = axis is not None and shape.rank.is_static and len(shape) > axis
            if has_axis and shape[axis].is_dynamic:
                shape[axis] = job["batch_size"]
                shapes[port] = shape
        if shapes:
            model.reshape(shapes)
        compiled = core.compile_model(model, device, config)
    except Exception as error:
        raise _refused("OpenVINO cannot compile the model", error) from error
    wanted = config.get(_HINT)
    if wanted and (found := compiled.get_property(_HINT).to_string()) != wanted:
        raise RefusedError(
            "unsupported", f"asked for {wanted}, but OpenVINO computes in {found} on this {device}"
        )
    return compiled


def _refused(doing: str, error: Exception, kind: str = "unsupported") -> RefusedError:
    """Return a refusal whose first line is OpenVINO's reason, and not where its code raised it."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(_PLACES)]
    refusal = refuse(doing, error, kind)
    if told:
        refusal.args = (f"{doing}: {' '.join(told)}",)
    return refusal


def _name(port: Any, known: Collection[Any]) -> str:
    """Return a port's name: of several, the one that the model's file gives it."""
    names: list[str] = sorted(port.get_names())
    return next((name for name in names if name in known), names[0] if names else "")


def _openvino() -> Any:
    import os
    import sys

    os.environ["DO_NOT_TRACK"] = "true"
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise RefusedError(
            "unsupported",
            f"openvino cannot be imported here ({error}): run `pip install openvino`, or give "
            "the runner `requirements: [openvino, numpy]`",
        ) from error
    return openvino
