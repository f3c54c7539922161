"""PyTorch: an exported program, run eagerly or compiled, on the processor or a CUDA card."""

from collections.abc import Sequence
from typing import Any

from .backend import Job, Node
from .refusal import RefusedError, refuse

PROVIDERS = ("eager-cpu", "compile-cpu", "eager-cuda", "compile-cuda")


class PyTorchModel:
    """A module on a device.

    A call takes arrays in the host's memory and returns arrays there, so that the time includes a
    card's copies and synchronization, as in a service.
    """

    def __init__(self, job: Job) -> None:
        torch = _torch()
        self.provider = job["execution_provider"]
        if self.provider not in PROVIDERS:
            raise RefusedError(
                "unsupported",
                f"the PyTorch runner has no {self.provider}; it has {', '.join(PROVIDERS)}",
            )
        mode, _, kind = self.provider.partition("-")
        self.device = _device(torch, kind, job["options"])
        self.is_compiled = mode == "compile"
        self.has_fixed_batch = self.is_compiled
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
            self.graph = program.module().to(self.device)
        except Exception as error:
            raise refuse(f"PyTorch cannot put the model on {self.device}", error) from error
        self.module = self.graph
        if self.is_compiled:
            # A graph break would run the rest eagerly: fullgraph makes it an error instead.
            self.module = torch.compile(self.graph, fullgraph=True, dynamic=False)

    def feed(self, arrays: Sequence[Any]) -> list[Any]:
        """Return the arrays as tensors that share their memory."""
        torch = _torch()
        return [torch.from_numpy(array) for array in arrays]

    def __call__(self, feed: Any) -> Sequence[Any]:
        """Copy in, run, copy out."""
        torch = _torch()
        with torch.inference_mode():
            outputs = self.module(*(tensor.to(self.device) for tensor in feed))
        leaves = torch.utils._pytree.tree_leaves(outputs)
        return [leaf.cpu().numpy() for leaf in leaves]

    def profile(self, feed: Any, calls: int) -> list[Node]:
        """Return the graph's nodes with the device of their results, or the kernels."""
        return self._kernels(feed, calls) if self.is_compiled else self._nodes(feed, calls)

    def _nodes(self, feed: Any, calls: int) -> list[Node]:
        """Run the graph node by node: the device of a result is where it was computed."""
        import time

        torch = _torch()
        found: dict[str, Node] = {}
        synchronize = torch.cuda.synchronize if self.device.type == "cuda" else lambda: None

        class Watch(torch.fx.Interpreter):  # type: ignore[misc,name-defined]
            def run_node(self, node: Any) -> Any:
                started = time.perf_counter()
                result = super().run_node(node)
                synchronize()
                milliseconds = (time.perf_counter() - started) * 1e3
                if node.op.startswith("call_"):
                    tensors = [
                        leaf
                        for leaf in torch.utils._pytree.tree_leaves(result)
                        if isinstance(leaf, torch.Tensor)
                    ]
                    if tensors:
                        entry = found.setdefault(
                            node.name,
                            {
                                "node": node.name,
                                "operator": str(node.target).removeprefix("aten."),
                                "provider": f"eager-{tensors[0].device.type}",
                                "ms_per_call": 0.0,
                            },
                        )
                        entry["ms_per_call"] += milliseconds / calls
                return result

        with torch.inference_mode():
            inputs = [tensor.to(self.device) for tensor in feed]
            for _ in range(calls):
                Watch(self.graph).run(*inputs)
        return list(found.values())

    def _kernels(self, feed: Any, calls: int) -> list[Node]:
        """Return the profiler's events inside the compiled graph."""
        torch = _torch()
        from torch.profiler import ProfilerActivity, profile

        self(feed)
        compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
        activities = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities) as watched:
            for _ in range(calls):
                self(feed)
        on_card = self.device.type == "cuda"
        nodes = []
        for event in watched.key_averages():
            microseconds = event.self_device_time_total if on_card else event.self_cpu_time_total
            if microseconds > 0:
                nodes.append(
                    {
                        "node": event.key,
                        "operator": event.key,
                        "provider": self.provider if compiled else f"eager-{self.device.type}",
                        "ms_per_call": microseconds / 1e3 / calls,
                    }
                )
        return nodes


def load(job: Job) -> PyTorchModel:
    """Load the job's model."""
    return PyTorchModel(job)


def describe(job: Job) -> dict[str, Any]:
    """Return the modes that PyTorch can run here."""
    import shutil

    torch = _torch()
    kinds = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    modes = ["eager"]
    if any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        modes.append("compile")
    versions = {"torch": torch.__version__}
    if "cuda" in kinds:
        versions |= {"cuda": torch.version.cuda, "gpu": torch.cuda.get_device_name()}
    return {
        "available": [f"{mode}-{kind}" for kind in kinds for mode in modes],
        "known": list(PROVIDERS),
        "versions": versions,
    }


def _device(torch: Any, kind: str, options: dict[str, str]) -> Any:
    if kind == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = torch.version.cuda or "no CUDA"
        raise RefusedError(
            "unsupported",
            f"this torch {torch.__version__} finds no CUDA card (it was built with {built}): it "
            f"needs a CUDA build of torch and an NVIDIA driver",
        )
    index = int(options.get("device_id", "0"))
    if index >= torch.cuda.device_count():
        raise RefusedError(
            "unsupported",
            f"there is no CUDA card {index}; this machine has {torch.cuda.device_count()}",
        )
    return torch.device("cuda", index)


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
