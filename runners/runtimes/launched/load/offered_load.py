"""Offered load: MLPerf's LoadGen sends queries, and latency counts from when each was due.

V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, https://arxiv.org/abs/1911.02549.
In a closed loop a slow call delays the next one, so that its waiting time is never seen; a
service's users do not wait for each other.
"""

import json
import os
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..backend import Job, LoadJob, Model
from ..refusal import RefusedError, is_out_of_memory
from ..timing import alive

_SCENARIOS = {"single_stream": "SingleStream", "server": "Server"}
_PERCENTILES = (50, 90, 95, 99)
"""Percentiles that LoadGen reports and that are kept."""


def offer_load(
    load: LoadJob, job: Job, models: Sequence[Model], feeds: list[Any]
) -> dict[str, float]:
    """Run a LoadGen scenario in this process; a query is one call of the job's batch size.

    Args:
        load: What to offer.
        job: The job.
        models: The instances; each answers the next query that waits.
        feeds: The queries' data.

    Returns:
        ``p50_ms`` to ``p99_ms``, the number of ``queries``, and ``completed_per_s``.

    Raises:
        RefusedError: If LoadGen is not installed, or a call failed.
    """
    loadgen = _loadgen()
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, _SCENARIOS[load["scenario"]])
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(load["seconds"] * 1e3)
    settings.min_query_count = 1
    settings.server_target_qps = load["queries_per_s"] or 1.0
    settings.server_target_latency_ns = int(3600e9)  # judged by us, not by LoadGen
    settings.single_stream_expected_latency_ns = 1_000_000
    settings.schedule_rng_seed = load["seed"]
    folder = Path(job["folder"]) / "loadgen"
    folder.mkdir(exist_ok=True)
    server = _Server(loadgen, models, feeds, job["cores"])
    logs = loadgen.LogSettings()
    output = loadgen.LogOutputSettings()
    output.outdir = str(folder)
    logs.log_output = output
    logs.enable_trace = False
    if load["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, load["cores"])  # LoadGen's own threads stay off the model's cores
    system = loadgen.ConstructSUT(server.accept, lambda: None)
    library = loadgen.ConstructQSL(len(feeds), len(feeds), lambda _: None, lambda _: None)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, logs)
    finally:
        server.stop()
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
    if server.error is not None:
        kind = "out_of_memory" if is_out_of_memory(server.error) else "unsupported"
        raise RefusedError(kind, f"a query failed: {server.error}") from server.error
    return _results(folder / "mlperf_log_detail.txt")


class _Server:
    """A thread for each instance, which answers the next query in order of arrival.

    An exception in a callback would abort the process, so it is kept, and every query is answered.
    """

    def __init__(
        self, loadgen: Any, models: Sequence[Model], feeds: list[Any], cores: list[int]
    ) -> None:
        self.error: Exception | None = None
        self._loadgen, self._feeds, self._cores = loadgen, feeds, cores
        self._queries: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, args=(model,), daemon=True) for model in models
        ]
        for thread in self._threads:
            thread.start()

    def accept(self, queries: Any) -> None:
        for query in queries:
            self._queries.put((query.id, query.index))

    def stop(self) -> None:
        for _ in self._threads:
            self._queries.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, model: Model) -> None:
        if self._cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self._cores)
        respond, response = self._loadgen.QuerySamplesComplete, self._loadgen.QuerySampleResponse
        while (query := self._queries.get()) is not None:
            identifier, index = query
            try:
                if self.error is None:
                    model(self._feeds[index])
            except Exception as error:
                self.error = error
            respond([response(identifier, 0, 0)])
            alive()


def _results(log: Path) -> dict[str, float]:
    mark = ":::MLLOG "
    found: dict[str, Any] = {}
    for line in log.read_text("utf-8").splitlines():
        if line.startswith(mark):
            entry = json.loads(line.removeprefix(mark))
            found[entry["key"]] = entry["value"]
    key = "result_{}.00_percentile_latency_ns"
    results = {f"p{q}_ms": found[key.format(q)] / 1e6 for q in _PERCENTILES}
    rate = found.get("result_completed_samples_per_sec")
    results["queries"] = float(found["result_query_count"])
    results["completed_per_s"] = rate or found["result_qps_with_loadgen_overhead"]
    return results


def _loadgen() -> Any:
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise RefusedError(
            "unsupported",
            f"offered load needs LoadGen in the model's interpreter ({error}): run `pip install "
            "mlcommons-loadgen` there, or add it to the runner's requirements",
        ) from error
    return mlperf_loadgen
