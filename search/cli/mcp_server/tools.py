"""The tools of the MCP server: each does what the command of its name does.

The first lines of a tool's docstring are what a client is told of it, so they teach: what it does,
what it costs in time, and what comes next.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from anyio.from_thread import run as run_in_loop
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from paretune.search.cli.error_group import error_text
from paretune.search.cli.mcp_server import arguments as given
from paretune.search.cli.mcp_server.background import BackgroundSearches
from paretune.search.cli.values.frontier import FrontierPoint
from paretune.search.cli.values.model import (
    CompareValues,
    MeasureValues,
    compare_values,
    measure_values,
)
from paretune.search.cli.values.pick import PickValues, pick_values
from paretune.search.cli.values.search import SearchValues
from paretune.search.cli.values.status import StatusValues
from paretune.search.cli.values.verify import VerifyValues, verify_values
from paretune.search.record.objective import Constraint
from paretune.search.review.frontier_rows import frontier_rows, row_values
from paretune.search.study import api, models
from paretune.spaces import ParetuneError, StudyError

_SEARCHES = BackgroundSearches()


def measure(
    context: Context,
    model: given.Model,
    batch_sizes: given.BatchSizes = [1],  # noqa: B006  # the schema that clients see has it
    threads: given.Threads = 1,
    runtime: given.Runtime = "onnxruntime",
    provider: given.Provider = None,
    inputs: given.Inputs = None,
    dimensions: given.Dimensions = None,
    constants: given.Constants = None,
    careful: given.Careful = True,
    raw_samples: given.RawSamples = False,
) -> list[MeasureValues]:
    """Measure a model file as it is, on this machine: how fast is it, and where does time go?

    Returns latency per call in ms (lower is better), samples per second (higher is better), memory
    and size in bytes, each with a 95 % interval; time by operator; and the bottleneck in words.
    Every launch is a fresh process. Takes 10 to 60 seconds per batch size, longer on a busy
    machine. It tells nothing about quality: for that, `search` judges the file as its trial 0.
    """
    setup = {"threads": threads, "runtime": runtime, "provider": provider, "data": inputs}
    setup |= {"dimensions": dimensions or {}, "constants": constants or {}}
    reports = []
    for place, size in enumerate(batch_sizes):
        _tell(context, place, len(batch_sizes), f"measuring batch {size}")
        reports.append(models.measure(model, batch_size=size, careful=careful, **setup))
    return measure_values(reports, raw=raw_samples)


def compare(
    context: Context,
    files: given.Models,
    batch_size: given.BatchSize = 1,
    threads: given.Threads = 1,
    runtime: given.Runtime = "onnxruntime",
    provider: given.Provider = None,
    inputs: given.Inputs = None,
    dimensions: given.Dimensions = None,
    constants: given.Constants = None,
    launches: given.Launches = 7,
) -> list[CompareValues]:
    """Say whether model files are faster or slower than the first of them, or cannot be told apart.

    Two files take turns in the same processes, so differences of a few percent show, which two
    calls of `measure` would hide. All need the same inputs. Returns, per other file, the ratio of
    times (below 1: it is faster) with its 95 % interval, and a verdict. Takes 10 to 30 seconds per
    file. It tells nothing about quality.
    """
    setup = {"threads": threads, "runtime": runtime, "provider": provider, "data": inputs}
    setup |= {"dimensions": dimensions or {}, "constants": constants or {}}
    first, *others = files
    found = []
    for place, other in enumerate(others):
        _tell(context, place, len(others), f"comparing {other}")
        result = models.compare(first, other, batch_size=batch_size, launches=launches, **setup)
        found.append(compare_values(first, other, batch_size, threads, result))
    return found


def search(
    study: given.SearchedStudy = None,
    onnx: given.OnnxFile = None,
    data: given.Data = None,
    labels: given.Labels = None,
    metric: given.QualityMetric = None,
    constants: given.Constants = None,
    out: given.StudyFolder = None,
    trials: given.Trials = None,
    hours: given.Hours = None,
    max_latency_ms: given.MaxLatency = None,
    percentile: given.WishedPercentile = None,
    max_accuracy_drop: given.MaxDrop = None,
    min_accuracy: given.MinQuality = None,
    batch_size: given.WishedBatch = None,
) -> SearchValues:
    """Start a search for faster versions of a model, or continue one, and return at once.

    Give a study file, or an ONNX file with samples: then a study is written that tries every
    quantization, some batch sizes and thread counts, and every installed runtime. The search runs
    as a process of its own and goes on if this server ends; its budget decides how long: minutes
    for a small file, hours if models are trained. Ask `status` every minute or so until
    `is_running` is false, then `frontier` and `pick`. The wish (latency, accuracy, batch size)
    steers the search and forbids nothing. A study that is being searched already is refused.
    """
    if (study is None) == (onnx is None):
        raise StudyError("give either `study`, a study file, or `onnx` with `data`: one of them")
    if onnx is not None:
        if data is None:
            raise StudyError("`onnx` needs `data`: samples for calibration and quality")
        study = api.onnx_study(
            onnx, data, labels=labels, metric=metric, constants=constants, folder=out
        )
    assert study is not None
    options = {
        "trials": trials,
        "hours": hours,
        "max_latency_ms": max_latency_ms,
        "percentile": percentile,
        "max_accuracy_drop": max_accuracy_drop,
        "min_accuracy": min_accuracy,
        "batch_size": batch_size,
    }
    started = _SEARCHES.start(study, options)
    return SearchValues(
        study=str(study.resolve()), process=started.process.pid, log=str(started.log)
    )


def status(study: given.StudyFile) -> StatusValues:
    """Say how far a study is: trials, seconds left, the best so far, failures, whether it runs.

    Reads only, in about a second, also while the search runs. When `is_running` is false, `state`
    says how it ended; `frontier` has the result.
    """
    return _SEARCHES.status(study)


def frontier(study: given.StudyFile, searched: given.Searched = False) -> list[FrontierPoint]:
    """Return a study's best points: for each, nothing else was both more accurate and faster.

    Published points were measured again on data that the search never saw; every metric has the
    ends of its 95 % interval (`_low`, `_high`) and its unit in its name. Times are per call: lower
    is better. `times_faster` above 1 is faster than the baseline; a negative `quality_change` is a
    loss. Until the search has ended these are its own values, of `kind` searched, which flatter.
    Reads only, in about a second.
    """
    history = api.status(study)
    rows = frontier_rows(history, searched=searched)
    return [FrontierPoint(**row_values(row, history)) for row in rows]


def pick(
    study: given.StudyFile,
    max_latency_ms: given.MaxLatency = None,
    percentile: given.WishedPercentile = None,
    max_accuracy_drop: given.MaxDrop = None,
    min_accuracy: given.MinQuality = None,
    batch_size: given.WishedBatch = None,
    runner: given.Runner = None,
    maxima: given.Limits = None,
    minima: given.Limits = None,
    prefer: given.Preferred = None,
    measure: given.Remeasure = True,
    out: given.OutFolder = None,
) -> PickValues:
    """Take the best point of a study that keeps the limits, and write it as a bundle to ship.

    With a limit on latency (ms per call) the most accurate point is best; with limits on accuracy
    only, the fastest. Limits on times are compared with the unfavourable end of the interval. The
    point is measured again on this machine first (10 to 60 seconds; `measure: false` skips it). If
    no point keeps the limits, the error says what to relax. `out` gets the model file, a manifest
    with everything needed to run it as measured, and a card; `verify` checks such a folder.
    """
    limits = [Constraint(name, maximum=value) for name, value in (maxima or {}).items()]
    limits += [Constraint(name, minimum=value) for name, value in (minima or {}).items()]
    picked = api.pick(
        study,
        max_latency_ms=max_latency_ms,
        percentile=percentile or "p95",
        max_quality_drop=max_accuracy_drop,
        min_quality=min_accuracy,
        batch_size=batch_size,
        runner=runner,
        limits=limits,
        prefer=prefer,
        measure=measure,
        out=out,
    )
    return pick_values(picked)


def verify(bundle: given.Bundle) -> VerifyValues:
    """Check whether a bundle that `pick` wrote keeps its promises on this machine.

    The file's digest is checked, its answers are compared with those it gave when it was picked,
    and it is timed: slower or faster means that the measured and the promised interval of p50 or
    p95 (ms per call) do not overlap. Takes 10 to 60 seconds.
    """
    return verify_values(api.verify(bundle))


TOOLS: Sequence[Callable[..., Any]] = (measure, compare, search, status, frontier, pick, verify)
"""Every tool, in the order in which one would use them."""

READING = {measure, compare, status, frontier, verify}
"""Those that change nothing."""


def told(tool: Callable[..., Any]) -> Callable[..., Any]:
    """Return a tool whose errors reach the client in the words of the command line."""

    @wraps(tool)
    def safe(*args: Any, **values: Any) -> Any:
        try:
            return tool(*args, **values)
        except (ParetuneError, OSError) as error:
            raise ToolError(error_text(error)) from error

    return safe


def description(tool: Callable[..., Any]) -> str:
    """Return what a client is told of a tool."""
    return inspect.cleandoc(tool.__doc__ or "")


def _tell(context: Context, place: int, total: int, text: str) -> None:
    """Send a progress notification; a client that did not ask for them gets none."""
    run_in_loop(context.report_progress, place, total, text)
