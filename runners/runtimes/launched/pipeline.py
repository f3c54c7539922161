"""Pre- and post-processing around a model: the user's functions, from a separate file."""

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .refusal import RefusedError


class Pipeline:
    """The functions ``preprocess`` and ``postprocess`` of a Python file; either may be missing.

    Args:
        path: The file. It is imported by the interpreter that runs the model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        spec = importlib.util.spec_from_file_location("paretune_pipeline", path)
        if spec is None or spec.loader is None:
            raise RefusedError("invalid", f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.path.append(str(path.parent))
        sys.dont_write_bytecode = True  # no files of ours next to the user's
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise self._refuse("cannot be imported by the model's interpreter", error) from error
        self.preprocess = self._function(module, "preprocess")
        self.postprocess = self._function(module, "postprocess")
        if self.preprocess is None and self.postprocess is None:
            raise RefusedError(
                "invalid", f"{path} has no function preprocess or postprocess: write one of them"
            )

    def call(
        self, model: Callable[[Any], Sequence[Any]], feed: Callable[[Any], Any], requests: Any
    ) -> tuple[float, float, float]:
        """Serve one batch of requests.

        Returns:
            Milliseconds of preprocessing, of post-processing, and of everything.
        """
        begin = time.perf_counter_ns()
        batch = self._guarded(self.preprocess, requests)
        ready = time.perf_counter_ns()
        outputs = model(feed(batch))
        done = time.perf_counter_ns()
        self._guarded(self.postprocess, outputs[0])
        end = time.perf_counter_ns()
        return (ready - begin) / 1e6, (end - done) / 1e6, (end - begin) / 1e6

    def _function(self, module: Any, name: str) -> Callable[[Any], Any] | None:
        function: Any = getattr(module, name, None)
        if function is not None and not callable(function):
            raise RefusedError("invalid", f"{self.path}: {name} must be a function")
        return function  # type: ignore[no-any-return]

    def _guarded(self, function: Callable[[Any], Any] | None, argument: Any) -> Any:
        if function is None:
            return argument
        try:
            return function(argument)
        except Exception as error:
            raise self._refuse(f"{function.__name__}() failed", error) from error

    def _refuse(self, what: str, error: BaseException) -> RefusedError:
        import traceback

        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if Path(frame.filename) == self.path]
        where = f"line {theirs[-1].lineno} ({theirs[-1].line}): " if theirs else ""
        kind = "out_of_memory" if isinstance(error, MemoryError) else "invalid"
        return RefusedError(kind, f"{self.path} {what}: {where}{type(error).__name__}: {error}")


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
