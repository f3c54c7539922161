"""PyTorch: an exported program, run eagerly or compiled, on the processor or a CUDA card."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .backend import Job, Node, placement
from .cuda.pytorch_card import CapturedGraph, can_compile, moved, open_card, set_fp32_precision
from .pytorch_profile import profiled, watched
from .refusal import RefusedError, refuse

PROVIDERS = (
    "eager-cpu",
    "compile-cpu",
    "eager-cuda",
    "eager-cuda-graphs",
    "compile-cuda",
    "compile-cuda-graphs",
    "compile-cuda-autotune",
)
"""How, where, and with what: ``graphs`` and ``autotune`` replay one captured CUDA graph."""

_OPTIONS = {"cpu": (), "cuda": ("device_id", "tf32", "channels_last")}
_SWITCH = {"1": True, "true": True, "0": False, "false": False}


class PyTorchModel:
    """A module on a device.

    A call takes arrays in the host's memory and returns arrays there, so that the time includes a
    card's copies and synchronization, as in a service. The host's memory is pinned: otherwise the
    driver would copy it once more. On a card, the next call overwrites the outputs of the last.

    Attributes:
        fp32_precision: How a card multiplies fp32 numbers: ``ieee``, or ``tf32`` if asked for,
            which keeps 10 bits of each factor's mantissa.
    """

    def __init__(self, job: Job) -> None:
        torch = _torch()
        self.provider = job["execution_provider"]
        if self.provider not in PROVIDERS:
            raise RefusedError(
                "unsupported",
                f"the PyTorch runner has no {self.provider}; it has {', '.join(PROVIDERS)}",
            )
        mode, kind, *tuning = self.provider.split("-")
        options = _checked(job["options"], kind)
        self.is_on_card = kind == "cuda"
        self.is_compiled, self.is_captured = mode == "compile", bool(tuning)
        self.has_fixed_batch = self.is_compiled or self.is_captured
        self.is_channels_last = _SWITCH[options.get("channels_last", "0")]
        self.fp32_precision = "tf32" if _SWITCH[options.get("tf32", "0")] else "ieee"
        self.device = torch.device("cpu")
        if self.is_on_card:
            self.device = open_card(torch, int(options.get("device_id", "0")))
            set_fp32_precision(torch, self.fp32_precision == "tf32")
            # For a fixed batch, cuDNN finds its fastest algorithms before the timed calls.
            torch.backends.cudnn.benchmark = self.has_fixed_batch
        torch.set_num_threads(job["intra_op_threads"])
        if torch.get_num_interop_threads() != 1:  # it can be set only once per process
            torch.set_num_interop_threads(1)
        try:
            program = torch.export.load(job["model"])
        except Exception as error:
            raise refuse(
                "PyTorch cannot read the model (it takes .pt2 files of torch.export.save)",
                error,
                "invalid",
            ) from error
        self.input_names = list(program.graph_signature.user_inputs)
        try:
            program = moved(torch, program, self.device) if self.is_on_card else program
            self.graph = program.module()
            if self.is_channels_last:
                self.graph = self.graph.to(memory_format=torch.channels_last)
        except RefusedError:
            raise
        except Exception as error:
            raise refuse(f"PyTorch cannot put the model on {self.device}", error) from error
        self.module: Callable[..., Any] = self.graph
        if self.is_compiled:
            # A graph break would run the rest eagerly: fullgraph makes it an error instead. The
            # CUDA graph is captured here, because torch's own leaves it out without an error.
            tuned = "max-autotune-no-cudagraphs" if "autotune" in tuning else "default"
            self.module = torch.compile(self.graph, fullgraph=True, dynamic=False, mode=tuned)
        self._captured: CapturedGraph | None = None
        self._outputs: list[Any] = []
        self._feed: Any = None
        self._eager = f"eager-{self.device.type}"
        self._started: Path | None = Path(job["folder"]) / "started"

    def feed(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the arrays as tensors that share their memory, or for a card in pinned memory."""
        torch = _torch()
        tensors = [torch.from_numpy(array) for array in arrays]
        return [tensor.pin_memory() for tensor in tensors] if self.is_on_card else tensors

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Copy in, run, copy out, and wait for the end."""
        torch = _torch()
        self._feed = feed
        with torch.inference_mode():
            if self.is_captured:
                graph = self._graph_for(feed)
                graph.fill(feed)
                outputs = graph.replay()
            else:
                outputs = self.module(*self._copied_in(feed))
            leaves = torch.utils._pytree.tree_leaves(outputs)
            if self.is_on_card:
                leaves = self._copied_out(leaves)
        if self._started is not None:
            self._started.touch()  # what has compiled once is timed from now on
            self._started = None
        return [leaf.numpy() for leaf in leaves]

    def resident(self, feed: Any) -> Callable[[], None] | None:
        """Return a function that runs once on inputs that already lie on the card, and waits.

        ``None`` on the processor, where nothing is copied.
        """
        if not self.is_on_card:
            return None
        torch = _torch()
        run: Callable[[], Any]
        with torch.inference_mode():
            if self.is_captured:
                graph = self._graph_for(feed)
                graph.fill(feed)
                run = graph.replay
            else:
                inputs = self._copied_in(feed)

                def run() -> Any:
                    return self.module(*inputs)

        def once() -> None:
            with torch.inference_mode():
                run()
            torch.cuda.current_stream(self.device).synchronize()

        return once

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return the graph's nodes with the device of their results; if compiled, the kernels.

        A captured graph has the same nodes or kernels, but the profiler may see it as one event: so
        they run one by one here.
        """
        self(feed)  # cold, or compiles
        if not self.is_compiled:
            return self._nodes(feed, calls)
        torch = _torch()

        def call() -> None:
            with torch.inference_mode():
                self.module(*self._copied_in(feed))
            if self.is_on_card:
                torch.cuda.synchronize(self.device)

        provider = self.provider if self._is_compiled_whole() else self._eager
        found = profiled(torch, call, calls, provider, is_on_card=self.is_on_card)
        if self.is_on_card:  # the kernels do not show what ran on the processor instead
            found += [node for node in self._nodes(feed, 1) if node["provider"] != self.provider]
        return found

    def proof(self) -> dict[str, Any]:
        """Return what this module runs on: the device of each result, for the last call's inputs.

        It is asked for after everything was timed, because it runs the graph node by node.
        """
        nodes = [] if self._feed is None else self._nodes(self._feed, 1)
        return {
            "registered": [self.provider],
            **placement(nodes, self.provider),
            "options": {
                "device": str(self.device),
                "fp32_precision": self.fp32_precision,
                "channels_last": str(int(self.is_channels_last)),
                "host_memory": "pinned" if self.is_on_card else "pageable",
            },
        }

    def _nodes(self, feed: Any, calls: int) -> list[Node]:
        """Return the graph's nodes; the provider is this one where the device is."""
        with _torch().inference_mode():
            inputs = self._copied_in(feed)
            found = watched(_torch(), self.graph, inputs, calls, is_on_card=self.is_on_card)
        for node in found:
            if node["provider"] == self._eager:
                node["provider"] = self.provider
        return found

    def _is_compiled_whole(self) -> bool:
        if not self.is_compiled:
            return True
        graphs: int = _torch()._dynamo.utils.counters["stats"]["unique_graphs"]
        return graphs >= 1

    def _copied_in(self, feed: Any) -> list[Any]:
        torch = _torch()
        inputs = [tensor.to(self.device, non_blocking=True) for tensor in feed]
        if self.is_channels_last:
            order = torch.channels_last
            inputs = [t.contiguous(memory_format=order) if t.dim() == 4 else t for t in inputs]
        return inputs

    def _copied_out(self, leaves: Sequence[Any]) -> list[Any]:
        """Copy outputs to pinned memory, which is kept for the next call, and wait."""
        torch = _torch()
        known = [(each.shape, each.dtype) for each in self._outputs]
        if known != [(each.shape, each.dtype) for each in leaves]:
            self._outputs = [
                torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in leaves
            ]
        for place, leaf in zip(self._outputs, leaves, strict=True):
            place.copy_(leaf, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return self._outputs

    def _graph_for(self, feed: Any) -> CapturedGraph:
        if self._captured is None:
            self._captured = CapturedGraph(_torch(), self.module, self._copied_in(feed))
        return self._captured


def prepare() -> None:
    """Import the runtime."""
    _torch()
    importlib.import_module("torch.export")


def load(job: Job) -> PyTorchModel:
    """Load the job's model."""
    return PyTorchModel(job)


def describe(job: Job) -> dict[str, Any]:
    """Return the modes that PyTorch can run here."""
    import shutil

    torch = _torch()
    is_there, versions = ["eager-cpu"], {"torch": torch.__version__}
    if any(map(shutil.which, ("c++", "g++", "clang++"))):
        is_there.append("compile-cpu")
    if torch.cuda.is_available():
        versions |= {"cuda": torch.version.cuda, "gpu": torch.cuda.get_device_name()}
        modes = ("eager-cuda", "compile-cuda") if can_compile() else ("eager-cuda",)
        is_there += [each for each in PROVIDERS if each.startswith(modes)]
    return {"available": is_there, "known": list(PROVIDERS), "versions": versions}


def _checked(options: dict[str, str], kind: str) -> dict[str, str]:
    """Return a provider's options; a misspelt one would be ignored, and the number a wrong one."""
    known = _OPTIONS[kind]
    for name, value in options.items():
        if name not in known:
            has = f"the options {', '.join(known)}" if known else "no options"
            raise RefusedError("unsupported", f"PyTorch has no option {name!r} here; it has {has}")
        if name != "device_id" and value not in _SWITCH:
            raise RefusedError("unsupported", f"{name} must be 1 or 0; got {value!r}")
    return options


def _torch() -> Any:
    import os

    # Compiling in the launch's own process: workers would outlive the deadline.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    try:
        import torch
    except ImportError as error:
        raise RefusedError(
            "unsupported", f"torch cannot be imported in this interpreter: {error}"
        ) from error
    return torch
