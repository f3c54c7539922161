"""The jobs of a launch: each takes a job's values and returns a result's."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import counters, samples, timing
from .backend import Job, Model, describe, load, prepare
from .card import card_counters
from .load.side_by_side import SideBySide, load_all, proof_of
from .refusal import RefusedError, refuse
from .request.serving import check_answers, end_to_end, served_batches

_PROOF_CALLS = 5
"""Calls with the runtime's profile on, as proof of the provider, after a cold one. Chosen by
judgement.
"""

_SLOW_MS = 100.0
"""Milliseconds of a call from which a comparison makes as few as it can. Chosen by judgement."""

_BLOCKS = 8
"""Fewest blocks of a comparison. Chosen by judgement."""

_BLOCKS_OF_SLOW = 3
"""The same if calls are slow. Chosen by judgement."""


def run(job: Job) -> dict[str, Any]:
    """Do a job."""
    timing.alive(Path(job["folder"]))
    return _JOBS[job["action"]](job)


def _time(job: Job) -> dict[str, Any]:
    """Time inference (session creation, first call, steady calls), then the pipeline.

    Several instances are loaded one after the other and called together; the first call is that of
    the first one, which also serves the pipeline.
    """
    prepare(job)
    card = card_counters(job)  # before the model takes memory there
    begun = time.perf_counter()
    models = load_all(job)
    model = models[0]
    loaded = time.perf_counter()
    timing.alive()
    peak_bytes = counters.peak_memory_bytes()
    feeds = samples.feeds(job, model)
    spare_bytes = _spare_bytes(feeds, len(models))
    counters.forget_peak()
    once = timing.timed(model, feeds)
    first_inference_ms = _guarded(once, 0)
    for other in models[1:]:
        _guarded(other, feeds[0])
    if card is not None:
        card.look()
    warming = time.perf_counter()
    if len(models) == 1:
        warmup = _guarded(timing.warm_up, once, job["warmup_seconds"])
    else:
        all_of_them = SideBySide([timing.timed(each, feeds) for each in models])
        warmup = _guarded(all_of_them.warm_up, job["warmup_seconds"])
    with counters.Counters(job["device"], card, job["throttled"]) as counted:
        if len(models) == 1:
            latency_ms = _guarded(timing.steady, once, job)
        else:
            latency_ms = _guarded(all_of_them.steady, job)
    calls = len(latency_ms)
    energy_mj = None if counted.energy_mj is None else counted.energy_mj / calls
    if card is not None:
        energy_mj = _guarded(card.energy_mj_per_call, once, calls)
    threads = len(models) * job["intra_op_threads"]
    result = {
        "session_creation_ms": (loaded - begun) * 1e3,
        "first_inference_ms": first_inference_ms,
        "warmup_iterations": warmup["iterations"],
        "warmup_steady": warmup["steady"],
        "latency_ms": latency_ms,
        "cpu_share": counted.cpu_s / counted.wall_s / threads,
        "cpu_time_ms": counted.cpu_s / calls * 1e3,
        "involuntary_switches_per_iteration": counted.involuntary_switches / calls,
        "waited_share": None if counted.waited_s is None else counted.waited_s / counted.wall_s,
        "throttled_share": counted.throttled_s / counted.wall_s,
        "energy_mj": energy_mj,
        "card": None if card is None else card.state(),
        "peak_memory_bytes": max(peak_bytes, counters.peak_memory_bytes() - spare_bytes),
        "canary_ms": timing.canary_ms(),
        "end_to_end": None,
        "load": None,
        "device_latency_ms": _device_latency_ms(job, model, feeds[0]),
        "instances": len(models),
        "has_fixed_batch": model.has_fixed_batch,
    }
    if pipeline := job["pipeline"]:
        result["end_to_end"] = _guarded(end_to_end, pipeline, job, model)
    if load_offered := job["load"]:
        from .load.offered_load import offer_load

        result["load"] = offer_load(load_offered, job, models, feeds)
    result["proof"] = proof_of(models)  # after all that was timed: it tells where that ran
    result["timed_s"] = time.perf_counter() - warming
    return result


def _spare_bytes(feeds: list[Any], instances: int) -> int:
    """Return the memory of all feeds but the largest ones: a service holds one per instance."""
    return sum(sorted(map(_bytes, feeds))[:-instances])


def _bytes(feed: Any) -> int:
    if isinstance(feed, (dict, list, tuple)):
        return sum(map(_bytes, feed.values() if isinstance(feed, dict) else feed))
    return int(getattr(feed, "nbytes", 0))


def _device_latency_ms(job: Job, model: Model, feed: Any) -> float | None:
    """Return the median time of calls whose data stays on the card, or ``None`` without one."""
    resident = getattr(model, "resident", None)
    call = resident and _guarded(resident, feed)
    if not call:
        return None
    once = timing.timed(lambda _: call(), [None])
    _guarded(once, 0)
    shorter = {**job, "min_seconds": job["min_seconds"] / 2}
    times = sorted(timing.steady(once, shorter))
    return float(times[len(times) // 2])


def _predict(job: Job) -> dict[str, Any]:
    """Run every sample once, keep the outputs, and report which provider ran which node.

    A job with a pipeline has the samples made from requests by it. Of the outputs, only those of a
    batch are in memory: see :class:`_OutputFiles`.
    """
    model = load(job)
    nodes = _profiled(job, model, _PROOF_CALLS)
    pipeline = job["pipeline"]
    batches = samples.every_batch(job, model)
    if pipeline:
        batches = served_batches(pipeline, job, model)
    if job["output_axes"] is None:
        for feed, _ in batches:
            _guarded(model, feed)
        return {"nodes": nodes}
    with _OutputFiles(Path(job["folder"]) / "outputs", job, model) as files:
        for place, (feed, count) in enumerate(batches):
            outputs = _guarded(model, feed)
            if pipeline and place == 0:
                check_answers(pipeline, job, outputs[0])
            files.append(outputs, count)
    return {"nodes": nodes}


class _OutputFiles:
    """A file for each output, to which the batches are appended: one ``.npy`` after the other.

    ``names.json`` beside them has the names of the outputs, in order.

    Args:
        folder: Where the files lie; made here.
        job: Its ``output_axes`` are the outputs that are written, each with the axis of the sample:
            ``None`` if there is no such axis, so that a batch must be one sample. Without it, all
            are written, and the first axis is the sample.
        model: Its ``output_names``, if it has any, are those of the outputs.
    """

    def __init__(self, folder: Path, job: Job, model: Model) -> None:
        self._folder = folder
        self._axes = job["output_axes"] or {}
        self._size = job["batch_size"]
        self._names: list[str] = list(getattr(model, "output_names", []))
        self._files: dict[str, Any] = {}
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier job
        folder.mkdir()

    def __enter__(self) -> "_OutputFiles":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def append(self, outputs: Any, count: int) -> None:
        """Append the outputs of the first ``count`` samples of a batch."""
        import numpy as np

        if not self._files:
            self._open(len(outputs))
        for name, output in zip(self._names, outputs, strict=True):
            if name in self._files:
                rows = self._by_sample(name, np.asarray(output), count)
                np.save(self._files[name], rows, allow_pickle=False)

    def _open(self, count: int) -> None:
        import json

        default = ["output", *(f"output_{place}" for place in range(1, count))]
        self._names = self._names or default
        # A model of another format has other names: then all are written.
        written = [name for name in self._names if name in self._axes] or self._names
        (self._folder / "names.json").write_text(json.dumps(written), "utf-8")
        for place, name in enumerate(written):
            self._files[name] = (self._folder / f"{place}.npy").open("wb")

    def _by_sample(self, name: str, output: Any, count: int) -> Any:
        """Return an output with the sample as its first axis, for so many samples."""
        axis = self._axes.get(name, 0)
        if axis is None or output.ndim <= axis:
            if self._size == 1:
                return output[None]
            raise RefusedError(
                "invalid",
                f"the output {name!r} of shape {list(output.shape)} has no axis of samples, so "
                "batches cannot be told apart: use batch size 1",
            )
        if output.shape[axis] < count:
            raise RefusedError(
                "invalid",
                f"the output {name!r} has the shape {list(output.shape)} for {count} samples: its "
                f"axis {axis} is not the sample; use batch size 1, or say which axis is",
            )
        if axis:
            import numpy as np

            output = np.moveaxis(output, axis, 0)
        return output[:count]


def _profile(job: Job) -> dict[str, Any]:
    """Return the time of each node, from the runtime's own profile of many calls."""
    return {"nodes": _profiled(job, load(job), job["calls"])}


def _compare(job: Job) -> dict[str, Any]:
    """Time two models in turn, in blocks of ABBA, and return the ratio B ÷ A of each block.

    Drift affects both, so the ratio is much steadier than either time.
    """
    calls = []
    for path in (job["model"], job["other_model"]):
        model = load(job, model=path)
        once = timing.timed(model, samples.feeds(job, model))
        _guarded(once, 0)
        timing.warm_up(once, job["warmup_seconds"])
        calls.append(once)
    # Blocks are long enough that the clock's resolution and the change of model do not matter.
    once_ms = [max(call(0), 1e-3) for call in calls]
    repeats = [max(3 if ms < _SLOW_MS else 1, int(2.0 / ms)) for ms in once_ms]
    fewest = _BLOCKS if max(once_ms) < _SLOW_MS else _BLOCKS_OF_SLOW
    ratios: list[float] = []
    started = time.perf_counter()
    while len(ratios) < fewest or time.perf_counter() - started < job["min_seconds"]:
        first, second = (0, 1) if len(ratios) % 2 else (1, 0)
        times: list[list[float]] = [[], []]
        for which in (first, second, second, first):
            calls[which](0)
            times[which] += [calls[which](turn) for turn in range(repeats[which])]
            timing.alive()
        medians = [sorted(each)[len(each) // 2] for each in times]
        ratios.append(medians[1] / medians[0])
    return {"ratios": ratios}


def _profiled(job: Job, model: Model, calls: int) -> list[dict[str, Any]]:
    timing.alive()  # the model is loaded
    return _guarded(model.profile, samples.feeds(job, model, most=1)[0], calls)  # type: ignore[no-any-return]


def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    """Turn an error of the runtime into a refusal with the runtime's own words."""
    try:
        result = call(*arguments)
        timing.alive()
        return result
    except (MemoryError, RefusedError):
        raise
    except Exception as error:
        raise refuse("the runtime cannot run the model", error) from error


def _serve(job: Job) -> dict[str, Any]:
    """Serve loads (see ``load/served.py``)."""
    from .load.served import serve

    return serve(job)


_JOBS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "time": _time,
    "predict": _predict,
    "profile": _profile,
    "compare": _compare,
    "serve": _serve,
    "describe": describe,
}
