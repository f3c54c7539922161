"""A CUDA card for PyTorch: its context, its precision, a program moved to it, a captured graph.

Nothing here imports torch: callers pass it, because only they can say what is missing without it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..counters import beyond_the_memory_limit
from ..refusal import RefusedError

_WARM_UP_CALLS = 3
"""Calls before a graph is captured: PyTorch's own examples make three."""


def open_card(torch: Any, index: int) -> Any:
    """Return a card as a device that is ready for work, and make it the current one.

    Args:
        torch: The module.
        index: Its number, as CUDA counts the cards that this process may use.

    Raises:
        RefusedError: If there is no such card.
    """
    if not torch.cuda.is_available():
        built = torch.version.cuda or "no CUDA"
        raise RefusedError(
            "unsupported",
            f"this torch {torch.__version__} finds no CUDA card (it was built with {built}): it "
            f"needs a CUDA build of torch and an NVIDIA driver",
        )
    if index >= torch.cuda.device_count():
        raise RefusedError(
            "unsupported",
            f"there is no CUDA card {index}; this machine has {torch.cuda.device_count()}",
        )
    device = torch.device("cuda", index)
    # What the driver reserves for itself in the host's memory is not the model's.
    with beyond_the_memory_limit():
        torch.cuda.set_device(device)
        torch.empty(1, device=device)
        torch.cuda.synchronize(device)
    return device


def can_compile() -> bool:
    """Return whether torch can compile for a card: Triton, and what builds its C launcher."""
    import importlib.util
    import os
    import shutil
    import sysconfig
    from pathlib import Path

    compiler = os.environ.get("CC") or any(map(shutil.which, ("gcc", "clang")))
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return bool(compiler and headers.is_file() and importlib.util.find_spec("triton"))


def set_fp32_precision(torch: Any, is_tf32: bool) -> None:
    """Let matrix products and convolutions of fp32 numbers round to TF32, or not.

    By default torch uses TF32 in cuDNN's convolutions and not in cuBLAS' products, so that "fp32"
    would be two things. These two switches also set those that came with torch 2.9
    (``fp32_precision``); the other way round, readers of these two would fail.
    """
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.allow_tf32 = is_tf32


def moved(torch: Any, program: Any, device: Any) -> Any:
    """Return an exported program on a device.

    ``module().to(device)`` would leave the device of the export in the graph, where ``arange``,
    ``zeros`` and ``to`` name it.

    Raises:
        RefusedError: If this torch cannot rewrite a program for another device.
    """
    try:
        from torch.export.passes import move_to_device_pass
    except ImportError as error:
        raise RefusedError(
            "unsupported",
            f"this torch cannot move an exported program to {device}: it needs torch 2.7 or newer",
        ) from error
    # With its index: the graph asserts devices, and cuda is not cuda:0 there.
    program = move_to_device_pass(program, str(device))
    # A view relies on strides, which were those of the processor's kernels: attention returns
    # others on a card. A reshape is the same view where that is possible, else a copy.
    for node in program.graph.nodes:
        if node.target == torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    program.graph_module.recompile()
    return program


class CapturedGraph:
    """A module's kernels as one CUDA graph: a replay launches all of them at once.

    Its inputs and outputs always lie in the same place on the card. What cannot be captured, such
    as a result that decides what runs next, is an error: no part is left out silently.

    Args:
        torch: The module ``torch``.
        module: Called with tensors on the card.
        inputs: Tensors on the card, with the shapes of every later call.
    """

    def __init__(self, torch: Any, module: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self._torch = torch
        self._inputs = [tensor.clone() for tensor in inputs]
        # Compiling, choosing algorithms and loading kernels must not be captured.
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP_CALLS):
                module(*self._inputs)
        current.wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self.outputs = module(*self._inputs)

    def fill(self, inputs: Sequence[Any]) -> None:
        """Copy inputs, on the host or on the card, to where the graph reads them."""
        for place, given in zip(self._inputs, inputs, strict=True):
            if place.shape != given.shape:  # copy_ would repeat a smaller one
                raise RefusedError(
                    "unsupported",
                    f"the graph was captured for an input of shape {list(place.shape)}; got "
                    f"{list(given.shape)}",
                )
            place.copy_(given, non_blocking=True)

    def replay(self) -> Any:
        """Run once; the outputs are ready when the current stream is."""
        self._graph.replay()
        return self.outputs
