"""Whole requests: timed from request to answer, and judged as the pipeline prepares them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import samples, timing
from ..backend import Job, Model, PipelineJob
from ..pipeline import Pipeline, load_requests
from ..refusal import RefusedError

_TOLERANCE = 1e-3
"""Largest relative difference of numbers in two answers that count as equal, the same as for the
model's inputs. Chosen by judgement.
"""


def end_to_end(files: PipelineJob, job: Job, model: Model) -> dict[str, Any]:
    """Time requests from arrival to answer, and their parts, for half as long as inference.

    Returns:
        ``preprocess_ms``, ``postprocess_ms`` and ``end_to_end_ms`` of each batch, and ``parts_ms``:
        the same of each part, by name.
    """
    pipeline = Pipeline(Path(files["file"]), job["axes"])
    requests = pipeline.as_sent(load_requests(Path(files["requests"])))
    rows = samples.batches(len(requests), job["batch_size"])
    turns = [_rows(requests, each) for each in rows]

    def once(turn: int) -> dict[str, float]:
        batch = turns[turn % len(turns)]
        return pipeline.call(model, lambda made: model.feed([made]), batch)

    once(0)
    timing.alive()
    timing.warm_up(lambda turn: once(turn)["end_to_end"], job["warmup_seconds"])
    shorter = {**job, "min_seconds": job["min_seconds"] / 2}
    taken: list[dict[str, float]] = timing.steady(once, shorter)
    whole = ("preprocess", "postprocess", "end_to_end")
    times = {name: [each[name] for each in taken] for name in taken[0]}
    return {
        **{f"{name}_ms": times[name] for name in whole},
        "parts_ms": {name: times[name] for name in pipeline.parts},
    }


def served_batches(files: PipelineJob, job: Job, model: Model) -> Iterator[tuple[Any, int]]:
    """Yield feeds that together hold every request once, as the pipeline prepares them.

    The job's values of the pipeline's axes may give other inputs than the stored samples, which
    those of the baseline gave: this is what the model gets, and so what quality is about.

    Raises:
        RefusedError: If preparing fails, or gives another shape or type than the stored samples.
    """
    import numpy as np

    pipeline = Pipeline(Path(files["file"]), job["axes"])
    requests = pipeline.as_sent(load_requests(Path(files["requests"])))
    (record,) = (each for each in job["inputs"] if each["path"] is not None)
    stored = np.load(str(record["path"]), mmap_mode="r")
    size = job["batch_size"]
    for start in range(0, len(requests), size):
        count = min(size, len(requests) - start)
        filled = size if model.has_fixed_batch else count
        rows = np.arange(start, start + filled) % len(requests)
        made = np.asarray(pipeline.prepared(_rows(requests, rows)))
        if made.shape[1:] != stored.shape[1:] or made.dtype != stored.dtype:
            raise RefusedError(
                "invalid",
                f"{pipeline.path}: with {_told(pipeline)}, preprocess makes "
                f"{made.dtype}{list(made.shape[1:])} of a request, but the model's input is "
                f"{stored.dtype}{list(stored.shape[1:])}",
            )
        yield model.feed([made]), count


def check_answers(files: PipelineJob, job: Job, output: Any) -> None:
    """Check that post-processing answers under a job's values as it does under the first ones.

    Quality judges the model's outputs, before they are post-processed: a value that changes answers
    would change a quality that nobody measures.

    Args:
        files: The pipeline.
        job: The job.
        output: The model's first output for a batch.

    Raises:
        RefusedError: If the answers differ, with both.
    """
    now, first = Pipeline(Path(files["file"]), job["axes"]), Pipeline(Path(files["file"]))
    taken = {name for step in now.postprocess for name in step.takes}
    if all(now.values[name] == first.values[name] for name in taken):
        return
    want, got = first.answers(output), now.answers(output)
    if not same(want, got):
        raise RefusedError(
            "invalid",
            f"{now.path}: with {_told(now)}, postprocess answers {str(got)[:80]} instead of "
            f"{str(want)[:80]}: quality judges the model's outputs, so an axis of the pipeline "
            "must not change what is made of them",
        )


def same(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same: numbers within a thousandth, all else exactly."""
    import numpy as np

    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    first, second = np.asarray(one), np.asarray(other)
    if first.dtype.kind in "fc" and second.dtype.kind in "fciu":
        return first.shape == second.shape and np.allclose(first, second, rtol=_TOLERANCE)
    return bool(np.array_equal(first, second))


def _rows(requests: Any, rows: Any) -> Any:
    """Return some requests: a list of a list, an array of an array."""
    return [requests[row] for row in rows] if isinstance(requests, list) else requests[rows]


def _told(pipeline: Pipeline) -> str:
    return ", ".join(f"{name} {value}" for name, value in pipeline.values.items())
