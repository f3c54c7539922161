"""What ran where in PyTorch: results node by node, or kernels from its profiler.

Nothing here imports torch, as in ``cuda/pytorch_card.py``.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from .backend import Node
from .timing import alive


def watched(
    torch: Any, graph: Any, inputs: Sequence[Any], calls: int, *, is_on_card: bool
) -> list[Node]:
    """Run a graph node by node: the device of a result is where it was computed.

    Args:
        torch: The module.
        graph: The graph's module.
        inputs: Its inputs, on its device.
        calls: How often to run it.
        is_on_card: Whether to wait for a card after each node.

    Returns:
        The nodes with tensors as results; the provider is ``eager-`` and the kind of the device.
    """
    found: dict[str, Node] = {}
    synchronize = torch.cuda.synchronize if is_on_card else lambda: None

    class Watch(torch.fx.Interpreter):  # type: ignore[misc]
        def run_node(self, node: Any) -> Any:
            started = time.perf_counter()
            result = super().run_node(node)
            synchronize()
            milliseconds = (time.perf_counter() - started) * 1e3
            if node.op.startswith("call_"):
                leaves = torch.utils._pytree.tree_leaves(result)
                tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
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

    for _ in range(calls):
        Watch(graph).run(*inputs)
        alive()
    return list(found.values())


def profiled(
    torch: Any, call: Callable[[], Any], calls: int, provider: str, *, is_on_card: bool
) -> list[Node]:
    """Return what the profiler saw in some calls: a card's kernels, or the processor's events.

    On a card, copies and the calls that launched kernels are left out.

    Args:
        torch: The module.
        call: Runs once.
        calls: How often.
        provider: What the events belong to.
        is_on_card: Whether it runs on a card.
    """
    from importlib import import_module

    profiler = import_module("torch.profiler")
    activities = [profiler.ProfilerActivity.CPU]
    if is_on_card:
        activities.append(profiler.ProfilerActivity.CUDA)
    with profiler.profile(activities=activities) as recorded:
        for _ in range(calls):
            call()
    nodes: list[Node] = []
    for event in recorded.key_averages():
        microseconds = event.self_cpu_time_total
        if is_on_card:
            is_kernel = event.device_type == torch.autograd.DeviceType.CUDA
            is_kernel &= not event.key.startswith(("Memcpy", "Memset"))
            microseconds = event.self_device_time_total if is_kernel else 0
        if microseconds > 0:
            milliseconds = microseconds / 1e3 / calls
            nodes.append(
                {
                    "node": event.key,
                    "operator": event.key,
                    "provider": provider,
                    "ms_per_call": milliseconds,
                }
            )
    return nodes
