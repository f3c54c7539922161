"""One launch of ONNX Runtime: the child process that loads an artifact and times it.

Run as a script with the path of a job file (JSON). It imports nothing but numpy and the runtime it
times, so that nothing else shares its cores, and so that it also runs in another interpreter. It
writes ``result.json`` beside the job: an observation, or a failure with kind and message.
"""

import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WINDOW_SECONDS = 0.02
_STEADY_TOLERANCE = 0.03


def main(job_path: Path) -> None:
    """Do one job and write its result."""
    _die_with_parent()
    job = json.loads(job_path.read_text("utf-8"))
    try:
        result = _JOBS[job["action"]](job, job_path.parent)
    except MemoryError as error:
        result = {"failure": {"kind": "out_of_memory", "message": str(error) or "no memory left"}}
    except _RefusedError as error:
        result = {"failure": {"kind": error.kind, "message": str(error)}}
    except Exception as error:
        traceback.print_exc()
        result = {"failure": {"kind": "crash", "message": f"{type(error).__name__}: {error}"}}
    aside = job_path.with_name("result.part")
    aside.write_text(json.dumps(result), "utf-8")
    aside.replace(job_path.with_name("result.json"))


class _RefusedError(Exception):
    """The runtime cannot do this, and says why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _time(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Time inference: session creation, first call and steady calls apart."""
    import resource

    started = time.perf_counter()
    session = _session(job)
    session_creation_ms = (time.perf_counter() - started) * 1e3
    feeds = _feeds(job, session)
    outputs = [output.name for output in session.get_outputs()]

    def once(turn: int) -> float:
        feed = feeds[turn % len(feeds)]
        begin = time.perf_counter_ns()
        session.run(outputs, feed)
        return (time.perf_counter_ns() - begin) / 1e6

    first_inference_ms = _guarded(once, 0)
    warmup = _warm_up(once, job["warmup_seconds"])
    before = resource.getrusage(resource.RUSAGE_SELF)
    cpu_before, wall_before = time.process_time(), time.perf_counter()
    latency_ms: list[float] = []
    while len(latency_ms) < job["max_iterations"]:
        elapsed = time.perf_counter() - wall_before
        if len(latency_ms) >= job["min_iterations"] and elapsed >= job["min_seconds"]:
            break
        latency_ms.append(once(len(latency_ms)))
    wall_seconds = time.perf_counter() - wall_before
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "session_creation_ms": session_creation_ms,
        "first_inference_ms": first_inference_ms,
        "warmup_iterations": warmup["iterations"],
        "warmup_steady": warmup["steady"],
        "latency_ms": latency_ms,
        "cpu_share": (time.process_time() - cpu_before) / wall_seconds / job["intra_op_threads"],
        "involuntary_switches_per_iteration": (after.ru_nivcsw - before.ru_nivcsw)
        / len(latency_ms),
        "peak_memory_bytes": _peak_memory_bytes(),
    }


def _predict(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run every sample once, keep the outputs, and show which provider ran which node."""
    import numpy as np

    session = _session(job)
    name = session.get_inputs()[0].name
    inputs = np.load(job["inputs"], mmap_mode="r")
    size = job["batch_size"]
    batches = [
        _guarded(session.run, None, {name: inputs[start : start + size]})[0]
        for start in range(0, len(inputs), size)
    ]
    np.save(folder / "outputs.npy", np.concatenate(batches))
    return {"nodes_by_provider": _profile(job, inputs[:size], folder)}


def _session(job: dict[str, Any], **options: Any) -> Any:
    """Create a session on the provider asked for, and on no other."""
    import onnxruntime as ort

    provider = job["execution_provider"]
    if provider not in ort.get_available_providers():
        raise _RefusedError(
            "unsupported",
            f"this onnxruntime {ort.__version__} has no {provider}; it has "
            f"{', '.join(ort.get_available_providers())}",
        )
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = job["intra_op_threads"]
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    for key, value in options.items():
        setattr(settings, key, value)
    try:
        session = ort.InferenceSession(
            job["model"], settings, providers=[(provider, job["provider_options"])]
        )
    except Exception as error:
        kind = "out_of_memory" if "allocate" in str(error) else "unsupported"
        if type(error).__name__ in ("InvalidProtobuf", "NoSuchFile"):
            kind = "invalid"
        raise _RefusedError(kind, f"ONNX Runtime cannot load the model: {error}") from error
    if session.get_providers()[0] != provider:
        raise _RefusedError(
            "unsupported",
            f"asked for {provider}, but ONNX Runtime fell back to {session.get_providers()[0]}",
        )
    return session


def _feeds(job: dict[str, Any], session: Any) -> list[dict[str, Any]]:
    """Return a few batches of real samples, so that no two calls in a row see the same data."""
    import numpy as np

    inputs = np.load(job["inputs"], mmap_mode="r")
    size, name = job["batch_size"], session.get_inputs()[0].name
    starts = range(0, min(len(inputs), 8 * size), size)
    rows = [np.arange(start, start + size) % len(inputs) for start in starts]
    return [{name: np.ascontiguousarray(inputs[row])} for row in rows]


def _warm_up(once: Callable[[int], float], limit_seconds: float) -> dict[str, Any]:
    """Call until the median of three windows in a row agrees, or the time is up.

    Clocks, caches and allocators settle after 0 to several hundred calls; a fixed number is either
    too few or a waste.
    """
    started = time.perf_counter()
    medians: list[float] = []
    iterations = 0
    while time.perf_counter() - started < limit_seconds:
        window: list[float] = []
        window_started = time.perf_counter()
        while len(window) < 3 or time.perf_counter() - window_started < _WINDOW_SECONDS:
            window.append(once(iterations))
            iterations += 1
        medians.append(sorted(window)[len(window) // 2])
        last = medians[-3:]
        if len(last) == 3 and max(last) <= min(last) * (1 + _STEADY_TOLERANCE):
            return {"iterations": iterations, "steady": True}
    return {"iterations": iterations, "steady": False}


def _profile(job: dict[str, Any], batch: Any, folder: Path) -> dict[str, int]:
    """Return how many nodes each provider executed, from the runtime's own profile."""
    session = _session(
        job, enable_profiling=True, profile_file_prefix=str(folder / "onnxruntime_profile")
    )
    session.run(None, {session.get_inputs()[0].name: batch})
    path = Path(session.end_profiling())
    counts: dict[str, int] = {}
    for event in json.loads(path.read_text("utf-8")):
        provider = event.get("args", {}).get("provider")
        if provider and event["name"].endswith("_kernel_time"):
            counts[provider] = counts.get(provider, 0) + 1
    return counts


def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    """Turn what the runtime rejects at run time into a refusal with its own words."""
    try:
        return call(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        kind = "out_of_memory" if "allocate" in str(error) else "unsupported"
        raise _RefusedError(kind, f"ONNX Runtime cannot run the model: {error}") from error


def _versions() -> dict[str, str]:
    import platform

    import numpy
    import onnxruntime

    return {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _describe(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Name the providers this interpreter's ONNX Runtime has, and those it only knows of."""
    import onnxruntime as ort

    return {
        "available": ort.get_available_providers(),
        "known": ort.get_all_providers(),
        "versions": _versions(),
    }


def _peak_memory_bytes() -> int:
    """Return the peak resident set; ``ru_maxrss`` would still count the parent before exec."""
    try:
        status = Path("/proc/self/status").read_text("utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent ends, so that no orphan disturbs the next."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


_JOBS: dict[str, Callable[[dict[str, Any], Path], dict[str, Any]]] = {
    "time": _time,
    "predict": _predict,
    "describe": _describe,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
