"""The interface to the runtimes: each has a module with a ``Model`` and a ``describe()``."""

import importlib.util
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict


class PipelineJob(TypedDict):
    """Files of the code around the model, and of its requests."""

    file: str
    requests: str


class InputJob(TypedDict):
    """One input of a model.

    Attributes:
        name: Its name; ``None`` for the inputs of the model in its own order.
        path: A file of samples, whose first axis is the sample; ``None`` for a constant.
        batch_axis: The axis of the batch in the model's input; ``None`` if it takes one sample,
            without an axis for it.
        constant: ``dtype`` and ``value`` of an input that is the same in every call. A model that
            has no such input has it built in.
    """

    name: str | None
    path: str | None
    batch_axis: int | None
    constant: dict[str, Any] | None


class LoadJob(TypedDict):
    """The load to offer: requests that arrive whether or not earlier ones have been answered."""

    scenario: str
    queries_per_s: float | None
    seconds: float
    seed: int
    cores: list[int]


class ServeJob(TypedDict):
    """Loads to serve, one after the other.

    Attributes:
        loads: A file for each: when each request is due, in seconds from the start, sorted.
        max_batch: Most requests in one call; the job's batch size is the same.
        queue_delay_ms: Longest time for which a call waits for more requests.
        give_up_s: Seconds of waiting of one request after which a load ends.
        began: When the process was started, on ``time.monotonic``.
    """

    loads: list[str]
    max_batch: int
    queue_delay_ms: float
    give_up_s: float
    began: float


class Job(TypedDict, total=False):
    """What a launched process is asked to do, as its job file has it.

    The action decides which keys a job has. Every job has ``action``, ``backend``, ``cores``,
    ``memory_limit_bytes`` and ``folder``. A job that runs a model also has every key that
    ``ProcessRunner._job`` writes.

    Attributes:
        action: ``time``, ``predict``, ``profile``, ``compare``, ``serve`` or ``describe``.
        backend: The file of the runtime's module.
        folder: Where results are written.
        parent: The process with which this one ends.
        cores: Those to pin to; none if empty.
        memory_limit_bytes: Limit of the process's own data; 0 for none.
        libraries: Plug-in provider libraries, by name.
        model: The model file.
        execution_provider: Where to run it.
        options: The provider's options.
        others: Options of providers that may take over nodes of this one, by provider.
        dimensions: Values of the model's free dimensions to fix, by name.
        intra_op_threads: Threads inside an operator.
        graph_optimization_level: ONNX Runtime's number of it.
        batch_size: Samples per call.
        axes: The candidate's values on further axes, ``instances`` among them.
        inputs: The model's inputs.
        output_axes: The batch axis of each output that is kept, by name; ``None`` if it has none.
            Empty: all outputs, with the batch axis first. ``None``: no output is kept.
        device: The device to count energy on, such as ``cpu``.
        card: The card's UUID and where its library lies, if the device is one.
        throttled: Files of control groups that count for how long a quota stopped the process.
        warmup_seconds: Longest warm-up.
        min_seconds: Shortest time to time for.
        min_iterations: Fewest calls.
        max_iterations: Most calls.
        pipeline: Files of the code around the model and of its requests, or ``None``.
        load: The load to offer after timing, or ``None``.
        serve: The loads to serve.
        calls: Calls to profile.
        other_model: The file to compare with.
    """

    action: str
    backend: str
    folder: str
    parent: int
    cores: list[int]
    memory_limit_bytes: int
    libraries: dict[str, str]
    model: str
    execution_provider: str
    options: dict[str, str]
    others: dict[str, dict[str, str]]
    dimensions: dict[str, int]
    intra_op_threads: int
    graph_optimization_level: int
    batch_size: int
    axes: dict[str, Any]
    inputs: list[InputJob]
    output_axes: dict[str, int | None] | None
    device: str
    card: dict[str, str] | None
    throttled: list[str]
    warmup_seconds: float
    min_seconds: float
    min_iterations: int
    max_iterations: int
    pipeline: PipelineJob | None
    load: LoadJob | None
    serve: ServeJob
    calls: int
    other_model: str


class Placed(TypedDict):
    """A node, and the provider that it was assigned to."""

    node: str
    operator: str
    provider: str


class Ran(Placed):
    """A node that ran, and the milliseconds that it took per call."""

    ms_per_call: float


class Node(Ran, total=False):
    """A node that ran, as the runtime's own profile tells it.

    Attributes:
        tensors: Type and number of elements of what it wrote and read, if it ran elsewhere.
    """

    tensors: list[list[Any]]


class Model(Protocol):
    """A model file, loaded by a runtime and ready for calls.

    A model may also have ``proof()``, which is asked for after everything was timed and tells what
    it ran on (the fields of ``LaunchProof``), and ``resident(feed)``, which returns a call whose
    data stays on the card, or ``None`` without one. ``output_names`` are the names of its outputs,
    in order; without it they are called ``output``, ``output_1``, …

    Attributes:
        input_names: Names of its inputs, in order.
        has_fixed_batch: Whether every call must have the same number of samples.
    """

    input_names: list[str]
    has_fixed_batch: bool

    def feed(self, arrays: Sequence[Any]) -> Any:
        """Return the argument of a call, from one array per input."""

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Run once and return the outputs as arrays, finished and in the host's memory."""

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return every node that ran, with its provider and time, as the runtime reports it.

        The first call is made for nothing: its times are those of a cold start. In the jobs
        ``predict`` and ``profile`` this is asked once and first, so a runtime can watch the session
        that does the rest, and need not load the model twice.
        """


def placement(nodes: Sequence[Placed], provider: str) -> dict[str, Any]:
    """Return how many nodes each provider has, and the nodes that are not on ``provider``."""
    return {
        "nodes": dict(Counter(node["provider"] for node in nodes)),
        "elsewhere": [
            [node["node"], node["operator"], node["provider"]]
            for node in nodes
            if node["provider"] != provider
        ],
    }


def prepare(job: Job) -> None:
    """Import the job's runtime, if its module has a ``prepare()``: that is no part of loading."""
    ready = getattr(_module(job), "prepare", None)
    if ready is not None:
        ready()


def load(job: Job, **changes: Any) -> Model:
    """Load the job's model with the job's runtime."""
    model: Model = _module(job).load({**job, **changes})
    return model


def describe(job: Job) -> dict[str, Any]:
    """Return the providers of a runtime (``available``, ``known``) and its ``versions``."""
    import platform

    import numpy

    found: dict[str, Any] = _module(job).describe(job)
    found["versions"] |= {"python": platform.python_version(), "numpy": numpy.__version__}
    return found


def _module(job: Job) -> Any:
    """Return the module of the job's runtime, loaded from its file.

    It becomes one of this package, wherever it lies: so ``from .refusal import refuse`` works.
    """
    path = Path(job["backend"])
    name = f"{__package__}.runtime_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"the runtime's file {path} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
