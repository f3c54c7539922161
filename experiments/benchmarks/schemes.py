"""Benchmark: what does each quantization give on each runtime?

    python experiments/benchmarks/schemes.py STUDY.yaml [--models NAME ...] [--batch-size 1]

Builds models of a study's workload (the reference by default) in every scheme, for ONNX Runtime and
OpenVINO on the processor, and times each with one thread, in fresh processes. It prints the median
latency with its interval, how many times as fast as fp32 in ONNX Runtime that is, and the quality
on the validation samples. An ONNX file has such a study after `paretune search --onnx` has begun.
Students are untrained: their time does not depend on it, their quality is not shown. Let nothing
else run.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from paretune.runners.build.builder import Builder
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.formats import FORMATS, format_for
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import time_model
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import MEDIAN_LATENCY
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.open_store import open_store
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.datasets.written import write_samples
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.outputs import stored_outputs
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import read_study_file
from paretune.spaces import REFERENCE, SCHEMES, BuildSpec, Quantization, RunSpec

TARGETS = {"onnxruntime": "CPUExecutionProvider", "openvino": "CPU"}


def main() -> int:
    """Print one line per model, runtime and scheme."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--models", nargs="*", default=[REFERENCE])
    parser.add_argument("--batch-size", type=int, default=1)
    options = parser.parse_args()
    switch_off_telemetry()
    config = read_study_file(options.study)
    loaded = LoadedWorkload(config.workload, options.study.resolve().parent)
    paths = StudyPaths(config, options.study)
    builder = Builder(loaded, open_store(paths.store, paths.store_url))
    print(f"{'model · scheme · runtime':<58} {'p50 ms':>15}  {'speed':>6}  quality")
    for model in options.models:
        base = None
        for scheme, runtime in combinations():
            told = f"{model} · {scheme} · {runtime}"
            found = measured(builder, model, scheme, runtime, options.batch_size)
            if isinstance(found, Failure):
                print(f"{told:<58} no: {found.message.splitlines()[0][:90]}", flush=True)
                continue
            p50, quality = found
            base = base or p50.value
            half = ((p50.high or p50.value) - (p50.low or p50.value)) / 2
            print(
                f"{told:<58} {p50.value:8.3f} ±{half / p50.value:5.1%}  {base / p50.value:5.2f}×  "
                f"{'' if quality is None else f'{quality:.4f}'}",
                flush=True,
            )
    return 0


def combinations() -> Iterator[tuple[str, str]]:
    """Yield schemes, fp32 first, with the runtimes that take them."""
    there = [name for name in TARGETS if name == "onnxruntime" or find_spec(name)]
    for scheme in SCHEMES:
        for name in there:
            formats = RUNTIMES.get(name).formats
            if any(FORMATS.get(each).takes(scheme) for each in formats):
                yield scheme.name, name


def measured(
    builder: Builder, model: str, scheme: str, runtime: str, batch_size: int
) -> tuple[Statistic, float | None] | Failure:
    """Return a build's median latency and its quality, or why there is none."""
    record = SCHEMES.get(scheme)
    is_student = model != REFERENCE
    if record.needs_training and (is_student or builder.loaded.model_file):
        return Failure("qat", FailureKind.UNSUPPORTED, "it needs training")
    spec = BuildSpec(model, 0.0, Quantization(scheme))
    target = RUNTIMES.get(runtime)
    with redirect_stdout(io.StringIO()):  # NNCF's progress
        made = builder.build(spec, format_for(record, target.formats), is_skeleton=is_student)
    if isinstance(made, Failure):
        return made
    path = builder.store.get(made.artifact)
    assert path is not None, "it was just built"
    run, runner = RunSpec(runtime, TARGETS[runtime], batch_size, 1), target.make_runner()
    settings = MeasurementSettings()
    data = builder.loaded.data.validation
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / each for each in ("inputs", "predict", "time")]
        for folder in folders:
            folder.mkdir()
        files = write_samples(data, folders[0])
        samples = Samples([*files.inputs.values()], layout=builder.loaded.layout)
        answers = runner.predict(path, run, samples, folders[1], settings)
        if isinstance(answers, Failure):
            return answers
        quality = None if is_student else judged(builder.loaded, answers.outputs)
        timing = time_model(runner, path, run, samples, folders[2], settings)
    if isinstance(timing, Failure):
        return timing
    return summarize(timing.launches, batch_size, timing.first)[MEDIAN_LATENCY], quality


def judged(loaded: LoadedWorkload, outputs: Path) -> float:
    """Return the objective's value on the validation split."""
    batches = [*stored_outputs(outputs)]
    whole = {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}
    return loaded.score(whole, "validation")


if __name__ == "__main__":
    sys.exit(main())
