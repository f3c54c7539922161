"""Calls of an ONNX Runtime session as a service makes them: data in, run, data out.

Inputs wait in page-locked memory and are copied to buffers on the card that stay where they are;
outputs are copied back to page-locked memory. Nothing is allocated in a call, unless the shape of
an output depends on the data.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..samples import MOST_FEEDS
from .runtime import CudaRuntime

Arrays = dict[str, Any]
Kept = TypeVar("Kept")

_MOST_SHAPES = 32
"""Shapes whose buffers and bindings are kept; the oldest goes first. Chosen by judgement."""


class BoundSession:
    """A session on a card, with its buffers.

    Args:
        ort: The module ``onnxruntime``.
        session: The session.
        place: The kind of device, and its number. ``("cpu", 0)`` makes the same calls without a
            card, to show that they are right.
        runtime: CUDA's runtime library; without it, memory on the host is pageable.
    """

    def __init__(
        self, ort: Any, session: Any, place: tuple[str, int], runtime: CudaRuntime | None = None
    ) -> None:
        self._ort, self._session, self._place = ort, session, place
        self._runtime = runtime
        self._staged: dict[Any, list[Any]] = {}
        self._next: dict[Any, int] = {}
        self._buffers: dict[Any, Buffers] = {}

    @property
    def host_memory(self) -> str:
        """The kind of the host's memory: ``page-locked``, or ``pageable`` with the reason."""
        if self._runtime is None:
            return "pageable: libcudart cannot be loaded"
        reason = self._runtime.why_pageable
        return f"pageable: {reason}" if reason else "page-locked"

    def stage(self, arrays: Arrays) -> Arrays:
        """Copy arrays to page-locked memory; as many of one shape are kept as are timed in turn."""
        if self._runtime is None:
            return arrays
        return {
            name: array if _is_text(array) else self._stage(self._runtime, name, array)
            for name, array in arrays.items()
        }

    def __call__(self, feed: Arrays) -> Sequence[Any]:
        """Run once; the outputs, in the host's memory, are overwritten by the next call."""
        buffers = self._buffers_of(feed)
        buffers.copy_in(feed)
        buffers.run()
        return buffers.copy_out()

    def resident(self, feed: Arrays) -> Callable[[], None]:
        """Return a call that neither copies inputs to the card nor outputs from it."""
        buffers = self._buffers_of(feed)
        buffers.copy_in(feed)
        buffers.keep_outputs()
        return buffers.run_to_the_end

    def _stage(self, runtime: CudaRuntime, name: str, array: Any) -> Any:
        key = (name, array.shape, array.dtype.str)
        kept = _kept(self._staged, key, list)
        if len(kept) < MOST_FEEDS:
            kept.append(runtime.array(array.shape, array.dtype))
        turn = self._next.get(key, 0)
        self._next[key] = (turn + 1) % MOST_FEEDS
        kept[turn][...] = array
        return kept[turn]

    def _buffers_of(self, feed: Arrays) -> "Buffers":
        key = tuple((name, array.shape, array.dtype.str) for name, array in feed.items())

        def make() -> Buffers:
            return Buffers(self._ort, self._session, feed, self._place, self._runtime)

        return _kept(self._buffers, key, make)


class Buffers:
    """A session's inputs and outputs on the card, for inputs of certain shapes.

    Args:
        ort: The module ``onnxruntime``.
        session: The session.
        feed: Inputs with these shapes.
        place: The kind of device, and its number.
        runtime: CUDA's runtime library, if it is there.
    """

    def __init__(
        self,
        ort: Any,
        session: Any,
        feed: Arrays,
        place: tuple[str, int],
        runtime: CudaRuntime | None,
    ) -> None:
        import numpy as np

        self._session, self._runtime = session, runtime
        self._binding = session.io_binding()
        self._place = place
        self._inputs = {
            name: ort.OrtValue.ortvalue_from_numpy(array.copy(), *self._place)
            for name, array in feed.items()
            if not _is_text(array)
        }
        # Inputs that the model reads on the card stay bound to their buffers, and are copied in the
        # session's own stream. Binding copies the others to the host, once each call.
        self._streamed = _read_in(place[0], session) if runtime and runtime.stream else set()
        for name in self._streamed & self._inputs.keys():
            self._binding.bind_ortvalue_input(name, self._inputs[name])
        sizes = _sizes(session, feed)
        # Outputs whose shape follows from the inputs' have a place; for the others, it is None.
        self._outputs: dict[str, tuple[Any, Any] | None] = {}
        for output in session.get_outputs():
            shape = output_shape(output.shape, sizes)
            dtype = _NUMPY_TYPES.get(output.type)
            self._outputs[output.name] = None
            if shape is None or dtype is None or not all(shape):
                self._binding.bind_output(output.name, "cpu")
                continue
            value = ort.OrtValue.ortvalue_from_shape_and_type(
                shape, np.dtype(dtype).type, *self._place
            )
            host = None if runtime is None else runtime.array(shape, dtype)
            self._binding.bind_ortvalue_output(output.name, value)
            self._outputs[output.name] = (value, host)

    def copy_in(self, feed: Arrays) -> None:
        """Copy inputs to the card."""
        for name, array in feed.items():
            value = self._inputs.get(name)
            if value is None:
                self._binding.bind_cpu_input(name, array)
            elif name in self._streamed and self._runtime is not None:
                self._runtime.copy_to_card(value.data_ptr(), array)
            else:
                value.update_inplace(array)
                self._binding.bind_ortvalue_input(name, value)
        for name, place in self._outputs.items():
            if place is None:
                self._binding.bind_output(name, "cpu")

    def keep_outputs(self) -> None:
        """Leave all outputs on the card from now on."""
        for name, place in self._outputs.items():
            if place is None and self._is_number(name):
                self._binding.bind_output(name, *self._place)

    def run(self) -> None:
        """Run once; the outputs are on the card, at least for what follows in the stream."""
        self._session.run_with_iobinding(self._binding)
        if self._runtime is None or not self._runtime.stream:
            self._binding.synchronize_outputs()

    def run_to_the_end(self) -> None:
        """Run once; the outputs are on the card, and finished."""
        self.run()
        if self._runtime is not None:
            self._runtime.finish()

    def copy_out(self) -> list[Any]:
        """Return the outputs in the host's memory."""
        found: list[Any] = []
        free = None
        for index, place in enumerate(self._outputs.values()):
            if place is None:
                free = self._binding.get_outputs() if free is None else free
                found.append(free[index].numpy())
                continue
            value, host = place
            if host is None or self._runtime is None:
                found.append(value.numpy())
                continue
            self._runtime.copy_to_host(host, value.data_ptr())
            found.append(host)
        if self._runtime is not None:
            self._runtime.finish()
        return found

    def _is_number(self, name: str) -> bool:
        types = {output.name: output.type for output in self._session.get_outputs()}
        return types[name] in _NUMPY_TYPES


_NUMPY_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16)},
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (32, 64)},
}


def _kept(found: dict[Any, Kept], key: Any, make: Callable[[], Kept]) -> Kept:
    """Return what belongs to a key, made if it is new; the oldest of too many is given up."""
    if key not in found:
        if len(found) >= _MOST_SHAPES:
            del found[next(iter(found))]
        found[key] = make()
    return found[key]


def output_shape(dimensions: Sequence[Any], sizes: Mapping[str, int]) -> list[int] | None:
    """Return an output's shape if it follows from the inputs' shapes, or ``None``.

    Args:
        dimensions: A number or a name for each dimension, as the session tells; it has none for a
            single number and none for an unknown shape.
        sizes: The size of each name among the inputs' dimensions.
    """
    found = [size if isinstance(size, int) else sizes.get(size) for size in dimensions]
    return None if None in found or not found else [size for size in found if size is not None]


def _read_in(memory: str, session: Any) -> set[str]:
    """Return the inputs that a session reads in a kind of memory, as far as it tells."""
    if not hasattr(session, "get_input_memory_infos"):
        return set()
    infos = zip(session.get_inputs(), session.get_input_memory_infos(), strict=True)
    return {value.name for value, info in infos if info.name.lower() == memory}


def _sizes(session: Any, feed: Arrays) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for value in session.get_inputs():
        if value.name in feed:
            for name, size in zip(value.shape, feed[value.name].shape, strict=False):
                if isinstance(name, str):
                    sizes.setdefault(name, size)
    return sizes


def _is_text(array: Any) -> bool:
    return array.dtype.kind in "USO"
