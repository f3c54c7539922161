"""One launch of ONNX Runtime: the child process that loads an artifact and times it.

Run as a script with the path of a job file (JSON). It imports nothing but numpy and the runtime it
times, so that nothing else shares its cores, and so that it also runs in another interpreter. It
writes ``result.json`` beside the job: an observation, or a failure with kind and message.
"""

import json
import os
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
    if job.get("cores") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
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
    once = _call(session, _feeds(job, session))
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
    inputs, size = _inputs(job, session), job["batch_size"]
    batches = [
        _guarded(session.run, None, {name: a[start : start + size] for name, a in inputs.items()})[
            0
        ]
        for start in range(0, len(next(iter(inputs.values()))), size)
    ]
    np.save(folder / "outputs.npy", np.concatenate(batches))
    nodes: dict[str, list[str]] = {}
    for event in _kernel_events(job, folder, calls=1):
        nodes.setdefault(event["args"]["provider"], []).append(event["name"])
    return {"nodes_by_provider": nodes}


def _profile(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the time of each node, from the runtime's own profile of many calls."""
    calls = job["calls"]
    found: dict[str, dict[str, Any]] = {}
    for event in _kernel_events(job, folder, calls):
        name = event["name"].removesuffix("_kernel_time")
        node = found.setdefault(
            name,
            {
                "node": name,
                "operator": event["args"].get("op_name", ""),
                "provider": event["args"]["provider"],
                "ms_per_call": 0.0,
            },
        )
        node["ms_per_call"] += event["dur"] / 1e3 / calls
    return {"nodes": list(found.values())}


def _compare(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Time two models in turn, in blocks of ABBA, and return the ratio B ÷ A of each block.

    What drifts, drifts for both: the ratio is much steadier than either time.
    """
    models = [job["model"], job["other_model"]]
    sessions = [_session({**job, "model": model}) for model in models]
    calls: list[Callable[[int], float]] = []
    for session in sessions:
        calls.append(_call(session, _feeds(job, session)))
        _warm_up(calls[-1], job["warmup_seconds"])
    # Blocks are long enough that the clock's resolution and the change of model do not matter.
    repeats = [max(3, int(2.0 / max(call(0), 1e-3))) for call in calls]
    ratios: list[float] = []
    started = time.perf_counter()
    while len(ratios) < 8 or time.perf_counter() - started < job["min_seconds"]:
        first, second = (0, 1) if len(ratios) % 2 else (1, 0)
        times: list[list[float]] = [[], []]
        for which in (first, second, second, first):
            calls[which](0)
            times[which] += [calls[which](turn) for turn in range(repeats[which])]
        medians = [sorted(each)[len(each) // 2] for each in times]
        ratios.append(medians[1] / medians[0])
    return {"ratios": ratios}


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


def _inputs(job: dict[str, Any], session: Any) -> dict[str, Any]:
    """Return the arrays of samples, by input name."""
    import numpy as np

    names = [value.name for value in session.get_inputs()]
    if len(names) != len(job["inputs"]):
        raise _RefusedError(
            "invalid", f"the model has {len(names)} inputs {names}; got {len(job['inputs'])} arrays"
        )
    arrays = [np.load(path, mmap_mode="r") for path in job["inputs"]]
    return dict(zip(names, arrays, strict=True))


def _feeds(job: dict[str, Any], session: Any) -> list[dict[str, Any]]:
    """Return a few batches of samples, so that no two calls in a row see the same data."""
    import numpy as np

    inputs, size = _inputs(job, session), job["batch_size"]
    samples = len(next(iter(inputs.values())))
    rows = [np.arange(s, s + size) % samples for s in range(0, min(samples, 8 * size), size)]
    return [
        {name: np.ascontiguousarray(array[row]) for name, array in inputs.items()} for row in rows
    ]


def _call(session: Any, feeds: list[dict[str, Any]]) -> Callable[[int], float]:
    """Return a function that runs one of the batches and gives the time in milliseconds."""
    outputs = [output.name for output in session.get_outputs()]

    def once(turn: int) -> float:
        feed = feeds[turn % len(feeds)]
        begin = time.perf_counter_ns()
        session.run(outputs, feed)
        return (time.perf_counter_ns() - begin) / 1e6

    return once


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


def _kernel_events(job: dict[str, Any], folder: Path, calls: int) -> list[dict[str, Any]]:
    """Return one event for each node and call, from the runtime's own profile."""
    session = _session(
        job, enable_profiling=True, profile_file_prefix=str(folder / "onnxruntime_profile")
    )
    feed = _feeds(job, session)[0]
    for _ in range(calls):
        _guarded(session.run, None, feed)
    events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return [
        event
        for event in events
        if event.get("args", {}).get("provider") and event["name"].endswith("_kernel_time")
    ]


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
    "profile": _profile,
    "compare": _compare,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
