"""The answers of a user's ONNX file in ONNX Runtime, the same in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from paretune.runners.onnx_session import cpu_session, is_numeric
from paretune.runners.workload.model_file import model_inputs
from paretune.runners.workload.onnx_files.advice import command_to_cut, suspect
from paretune.runners.workload.onnx_files.inputs import GivenInputs, fixed_batch
from paretune.runners.workload.onnx_files.layout import Axis, Layout, unplaced
from paretune.runners.workload.onnx_files.normal_form import normal_form
from paretune.runners.workload.onnx_weights import serialized
from paretune.spaces import WorkloadError

if TYPE_CHECKING:
    import onnxruntime

_BATCH = 32
"""Samples per call, if the file leaves the batch size free."""

_PROBED = 3
"""Samples of the call that is compared with one of a single sample, to find batch axes."""

_MOST_ERROR = 0.05
"""Largest difference of an output between batch sizes, relative to the output. Rounding is below
0.001, and dynamic quantization, which takes its ranges from the batch, below 0.03; a model that
took time for samples had 0.24.
"""

Allocate = Callable[[str, tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""Returns a place for an output's answers: for a name, a shape and a type."""


class Original:
    """A user's model, run on the user's samples.

    One thread computes: sums have a fixed order, so outputs are equal to the last bit.

    Args:
        model: The ONNX file.
        given: Its inputs.
        outputs: Names of the outputs that are judged; by default all that are tensors of numbers
            and have an axis for the sample.
        batch_axes: The batch axis of outputs, where it is known.

    Raises:
        WorkloadError: If ONNX Runtime rejects the file or the samples, or there is no such output.
    """

    def __init__(
        self,
        model: Path,
        given: GivenInputs,
        outputs: Sequence[str] | None = None,
        batch_axes: Mapping[str, Axis] | None = None,
    ) -> None:
        self.model = model
        self._given = given
        self._arrays = list(given.arrays.values())
        with self._guarded():
            self._session = _session(model)
        self._inputs = [each.name for each in self._session.get_inputs()]
        self.fixed = fixed_batch(model_inputs(model), given.layout)
        self.remarks: list[str] = []
        wanted = self._wanted(outputs)
        axes = self._axes(wanted, batch_axes or {}, is_chosen=outputs is not None)
        self.layout = replace(given.layout, outputs=axes)

    def __len__(self) -> int:
        return len(self._arrays[0])

    def check_batches(self) -> None:
        """Check that a sample's answer does not depend on the others of its batch.

        Otherwise no sample has an answer of its own, and the model's quality is that of chance: for
        example if the first axis is time, or normalization is still in training mode.

        Raises:
            WorkloadError: If it does.
        """
        count = min(_BATCH, len(self)) if self.fixed is None else self.fixed
        if count < 2:
            return
        rows = np.arange(count) % len(self)
        together = self._judged(rows)
        if self.fixed is None:
            singles = [self._judged(rows[[place]]) for place in range(count)]
            apart = {name: np.concatenate([each[name] for each in singles]) for name in together}
        else:
            turned = self._judged(np.roll(rows, 1))
            apart = {name: np.roll(array, -1, axis=0) for name, array in turned.items()}
        for name, array in together.items():
            error = _difference(apart[name], array)
            if error > _MOST_ERROR:
                batches = (
                    f"batches of 1 and {count} samples"
                    if self.fixed is None
                    else f"batches of the same {count} samples in another order"
                )
                raise WorkloadError(
                    f"{self.model} gives a sample other answers in another batch: {name!r} differs "
                    f"by {error:.1%} between {batches}. {suspect(self.model, self.layout)}"
                )

    def answers(self, allocate: Allocate | None = None) -> dict[str, NDArray[Any]]:
        """Return each judged output for all samples, by name; the first axis is the sample.

        Args:
            allocate: Returns the arrays to write to; in memory by default.

        Raises:
            WorkloadError: If ONNX Runtime rejects the samples, or an output has another shape for
                some of them.
        """
        found: dict[str, NDArray[Any]] = {}
        make = allocate or (lambda name, shape, dtype: np.empty(shape, dtype))
        for rows, count in self._batches():
            for name, array in self._judged(rows).items():
                if name not in found:
                    found[name] = make(name, (len(self), *array.shape[1:]), array.dtype)
                if array.shape[1:] != found[name].shape[1:]:
                    raise WorkloadError(
                        f"{self.model}: the output {name!r} has the shape {list(array.shape[1:])} "
                        f"for some samples and {list(found[name].shape[1:])} for others, so it "
                        f"cannot be compared: {_ADVICE.format(self.model.name)}"
                    )
                found[name][rows[:count]] = array[:count]
        return found

    def _batches(self) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Yield the rows of each call and the number of those that count.

        If the batch size is fixed, the last batch is filled up from the start.
        """
        size = self.fixed or _BATCH
        for start in range(0, len(self), size):
            count = min(size, len(self) - start)
            yield np.arange(start, start + (size if self.fixed else count)) % len(self), count

    def _judged(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        outputs = self._run(rows, list(self.layout.outputs))
        return {n: unplaced(outputs[n], axis) for n, axis in self.layout.outputs.items()}

    def _run(self, rows: NDArray[np.int64], names: Sequence[str]) -> dict[str, NDArray[Any]]:
        samples = [np.asarray(array[rows]) for array in self._arrays]
        with self._guarded():
            feed = self._given.layout.feed(self._inputs, samples)
            found = self._session.run(list(names), feed)
        return dict(zip(names, map(np.asarray, found), strict=True))

    def _wanted(self, outputs: Sequence[str] | None) -> list[str]:
        there = self._session.get_outputs()
        numeric = [each.name for each in there if is_numeric(each.type)]
        if outputs is None:
            others = [each.name for each in there if each.name not in numeric]
            if numeric and others:
                self.remarks.append(f"not judged, because they are not numbers: {_list(others)}")
            if not numeric:
                raise WorkloadError(
                    f"{self.model} has no output of numbers: {_list([o.name for o in there])}"
                )
            return numeric
        for name in outputs:
            if name not in numeric:
                raise WorkloadError(
                    f"--output names {name!r}, but the outputs of numbers of {self.model} are "
                    f"{_list(numeric)}"
                )
        return list(outputs)

    def _axes(
        self, wanted: Sequence[str], known: Mapping[str, Axis], *, is_chosen: bool
    ) -> dict[str, Axis]:
        """Return the batch axis of each output that has one."""
        if {*wanted} <= {*known}:
            return {name: known[name] for name in wanted}
        count = self.fixed or min(_PROBED, len(self))
        many = self._run(np.arange(count) % len(self), wanted)
        single = many if self.fixed else self._run(np.arange(1), wanted)
        is_alone = None in self._given.layout.inputs.values()
        found: dict[str, Axis] = {}
        lacking: list[str] = []
        for name in wanted:
            if name in known:
                found[name] = known[name]
                continue
            one, all_of = single[name].shape, many[name].shape
            axes = (
                []
                if is_alone
                else _batch_axes(one, all_of, 1 if single is not many else count, count)
            )
            if axes:
                found[name] = axes[0]
            elif count == 1:
                found[name] = None  # the output is that of the only sample
            else:
                lacking.append(name)
        if lacking and (is_chosen or not found):
            rows = single[lacking[0]].shape
            cut = command_to_cut(self.model, self._inputs, lacking[0])
            raise WorkloadError(
                f"{self.model}: the output {lacking[0]!r} has the shape {list(rows)} for one "
                f"sample and {list(many[lacking[0]].shape)} for {count}: it has no axis for the "
                f"sample, so samples cannot be judged one by one. Judge another output with "
                f"--output, or what it is made from: {cut}"
            )
        if lacking:
            self.remarks.append(
                f"not judged, because they have no axis for the sample: {_list(lacking)}"
            )
        return found

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn an error of ONNX Runtime into one that names the file."""
        try:
            yield
        except Exception as error:
            raise WorkloadError(f"ONNX Runtime cannot run {self.model}: {error}") from error


_ADVICE = (
    "judge other outputs with --output, or cut {!r} before the operator that decides their number"
)


def answers_of(
    model: Path, samples: Sequence[NDArray[Any]], layout: Layout | None = None
) -> dict[str, NDArray[Any]]:
    """Return a model's outputs for all samples, by name; the first axis of each is the sample.

    Args:
        model: The ONNX file.
        samples: One array of samples per input, in order.
        layout: How they become the inputs of a call; by default the batch axis is the first.

    Raises:
        WorkloadError: If ONNX Runtime rejects the file or the samples.
    """
    layout = layout or Layout()
    axes = layout.inputs or {each.name: 0 for each in model_inputs(model)}
    given = GivenInputs(dict(zip(axes, samples, strict=True)), replace(layout, inputs=axes))
    names = [*layout.outputs] or None
    return Original(model, given, names, layout.outputs).answers()


def _session(model: Path) -> onnxruntime.InferenceSession:
    """Return a session; of a file that ONNX Runtime rejects, one of its normal form."""
    try:
        return cpu_session(model)
    except Exception:
        normal, is_changed = normal_form(onnx.load(model))
        if not is_changed:
            raise
        return cpu_session(serialized(normal))


def _batch_axes(one: tuple[int, ...], many: tuple[int, ...], single: int, count: int) -> list[int]:
    """Return the axes that have a place for each sample, from shapes of two calls.

    Args:
        one: The shape of an output for ``single`` samples.
        many: Its shape for ``count`` samples.
        single: Samples of the first call.
        count: Samples of the second.
    """
    if len(one) != len(many):
        return []
    axes = [axis for axis in range(len(one)) if (one[axis], many[axis]) == (single, count)]
    rest = [axis for axis in range(len(one)) if one[axis] != many[axis]]
    return axes if not rest or rest == axes[:1] or rest == axes else []


def _difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the difference of two arrays of a shape, relative to the first; in [0, infinity)."""
    if one.dtype.kind != "f":
        return float(np.mean(one != other)) if one.size else 0.0
    finite = np.isfinite(one) & np.isfinite(other)
    given, wanted = one[finite].astype(np.float64), other[finite].astype(np.float64)
    length = float(np.linalg.norm(wanted))
    return float(np.linalg.norm(given - wanted)) / (length or 1.0)


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
