"""The code around a model in a service: the user's functions, from a separate file."""

import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .refusal import RefusedError

MODEL = "model"
"""The name of the model's own part of a request."""

RESERVED = (MODEL, "preprocess", "postprocess", "end_to_end")
"""Names that no part may have: times are recorded under them already."""


class Step:
    """A function of a pipeline, with the values of the axes that it takes.

    Args:
        function: The function; the values of axes reach it as keywords.
        values: The values of all axes, by name.
        refuse: Makes a refusal of what failed and the error.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        values: Mapping[str, Any],
        refuse: Callable[[str, BaseException], RefusedError],
    ) -> None:
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self.takes = [name for name in values if name in inspect.signature(function).parameters]
        self._function, self._refuse = function, refuse
        self._values = {name: values[name] for name in self.takes}

    def __call__(self, argument: Any) -> Any:
        """Return what the function makes of its argument.

        Raises:
            RefusedError: If it fails, with the line.
        """
        try:
            return self._function(argument, **self._values)
        except RefusedError:
            raise
        except Exception as error:
            raise self._refuse(f"{self.name}() failed", error) from error


class Pipeline:
    """``preprocess`` and ``postprocess`` of a Python file, and the axes that it offers.

    Each of the two is a function, or a list of functions, the *parts*, of which each takes what the
    one before it returned; either may be missing. ``AXES`` maps names to lists of values. An axis's
    value reaches every function that has a keyword of its name. ``as_sent``, if there is one, turns
    requests into what clients send under these values; it is never timed.

    Args:
        path: The file. It is imported by the interpreter that runs the model.
        values: The values of axes, by name. Axes that it leaves out have the first value that the
            file offers; names that the file does not offer are those of others, and are ignored.

    Attributes:
        axes: The values that the file offers, by axis.
        preprocess: The functions before the model, in order.
        postprocess: Those after it.

    Raises:
        RefusedError: If the file cannot be imported, or does not say what it must.
    """

    def __init__(self, path: Path, values: Mapping[str, Any] | None = None) -> None:
        self.path = path
        module = self._module()
        self.axes: dict[str, list[Any]] = {
            name: list(each) for name, each in getattr(module, "AXES", {}).items()
        }
        offered = {name: each[0] for name, each in self.axes.items()}
        self.values = offered | {n: v for n, v in (values or {}).items() if n in offered}
        self.preprocess, self.has_parts_before = self._steps(module, "preprocess")
        self.postprocess, self.has_parts_after = self._steps(module, "postprocess")
        if not self.preprocess and not self.postprocess:
            raise RefusedError(
                "invalid", f"{path} has no function preprocess or postprocess: write one of them"
            )
        as_sent = getattr(module, "as_sent", None)
        self._as_sent = as_sent and Step(as_sent, self.values, self._refuse)
        self._check()

    @property
    def parts(self) -> list[str]:
        """The names of the parts of a request that are recorded apart, in order, the model's too.

        A plain function ``preprocess`` is not one of them: its time is recorded anyway.
        """
        before = [step.name for step in self.preprocess] if self.has_parts_before else []
        after = [step.name for step in self.postprocess] if self.has_parts_after else []
        return [*before, MODEL, *after]

    def as_sent(self, requests: Any) -> Any:
        """Return requests as clients send them under the values of the axes."""
        return requests if self._as_sent is None else self._as_sent(requests)

    def prepared(self, requests: Any) -> Any:
        """Return the model's input for requests as clients send them."""
        for step in self.preprocess:
            requests = step(requests)
        return requests

    def answers(self, output: Any) -> Any:
        """Return the answers for the model's first output."""
        for step in self.postprocess:
            output = step(output)
        return output

    def call(
        self, model: Callable[[Any], Sequence[Any]], feed: Callable[[Any], Any], requests: Any
    ) -> dict[str, float]:
        """Serve one batch of requests.

        Returns:
            Milliseconds of ``preprocess``, ``postprocess`` and ``end_to_end``, and of each of
            :attr:`parts`.
        """
        now = time.perf_counter_ns
        marks = [now()]
        value = requests
        for step in self.preprocess:
            value = step(value)
            marks.append(now())
        ready = now()
        outputs = model(feed(value))
        done = now()
        value = outputs[0]
        later = [done]
        for step in self.postprocess:
            value = step(value)
            later.append(now())
        end = now()
        taken = {
            "preprocess": (ready - marks[0]) / 1e6,
            MODEL: (done - ready) / 1e6,
            "postprocess": (end - done) / 1e6,
            "end_to_end": (end - marks[0]) / 1e6,
        }
        if self.has_parts_before:
            taken |= _between(self.preprocess, marks)
        if self.has_parts_after:
            taken |= _between(self.postprocess, later)
        return taken

    def _module(self) -> Any:
        spec = importlib.util.spec_from_file_location("paretune_pipeline", self.path)
        if spec is None or spec.loader is None:
            raise RefusedError("invalid", f"{self.path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.path.append(str(self.path.parent))
        sys.dont_write_bytecode = True  # no files of ours next to the user's
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise self._refuse("cannot be imported by the model's interpreter", error) from error
        return module

    def _steps(self, module: Any, name: str) -> tuple[list[Step], bool]:
        """Return the functions of a name, and whether they were written as a list."""
        written: Any = getattr(module, name, None)
        if written is None:
            return [], False
        functions = list(written) if isinstance(written, list | tuple) else [written]
        if not functions or not all(map(callable, functions)):
            raise RefusedError(
                "invalid", f"{self.path}: {name} must be a function, or a list of functions"
            )
        steps = [Step(function, self.values, self._refuse) for function in functions]
        return steps, isinstance(written, list | tuple)

    def _check(self) -> None:
        """Refuse parts whose times could not be told apart, and axes that change nothing."""
        before = self.preprocess if self.has_parts_before else []
        after = self.postprocess if self.has_parts_after else []
        named = [step.name for step in (*before, *after)]
        for name in named:
            if not name.isidentifier() or name in RESERVED or named.count(name) > 1:
                raise RefusedError(
                    "invalid",
                    f"{self.path}: parts need names of their own, other than "
                    f"{', '.join(RESERVED)}; got {name!r}: give its function another name",
                )
        steps = [*self.preprocess, *self.postprocess, *filter(None, [self._as_sent])]
        taken = {name for step in steps for name in step.takes}
        if left := sorted(self.axes.keys() - taken):
            raise RefusedError(
                "invalid",
                f"{self.path}: no function takes the axis {left[0]!r}: add a keyword {left[0]} to "
                "the function that it is for, or remove it from AXES",
            )

    def _refuse(self, what: str, error: BaseException) -> RefusedError:
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if Path(frame.filename) == self.path]
        where = f"line {theirs[-1].lineno} ({theirs[-1].line}): " if theirs else ""
        kind = "out_of_memory" if isinstance(error, MemoryError) else "invalid"
        return RefusedError(kind, f"{self.path} {what}: {where}{type(error).__name__}: {error}")


def _between(steps: Sequence[Step], marks: Sequence[int]) -> dict[str, float]:
    """Return the milliseconds of each step, from the times before the first and after each."""
    pairs = zip(steps, marks[:-1], marks[1:], strict=True)
    return {step.name: (after - before) / 1e6 for step, before, after in pairs}


def load_requests(path: Path) -> Any:
    """Return the requests that :func:`save_requests` wrote: an array, or a list of bytes."""
    import numpy as np

    stored = np.load(path)
    if "array" in stored:
        return stored["array"]
    ends = np.cumsum(stored["lengths"])
    flat = stored["flat"].tobytes()
    return [flat[end - length : end] for end, length in zip(ends, stored["lengths"], strict=True)]


def save_requests(path: Path, requests: Any) -> None:
    """Write requests, an array or a sequence of bytes, without pickling.

    Args:
        path: An ``.npz`` file to write.
        requests: One request per sample: an array whose first axis is the sample (numbers or text),
            or a sequence of ``bytes``, such as encoded pictures.

    Raises:
        TypeError: If it is neither.
    """
    import numpy as np

    if isinstance(requests, np.ndarray) and not requests.dtype.hasobject:
        np.savez(path, array=requests)
    elif all(isinstance(request, bytes) for request in requests):
        flat = np.frombuffer(b"".join(requests), np.uint8)
        np.savez(path, flat=flat, lengths=np.asarray([len(request) for request in requests]))
    else:
        raise TypeError("requests must be a numpy array of numbers or text, or a list of bytes")
