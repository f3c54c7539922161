"""Benchmark: how does each quantization change the time of a large and of a small model?

    python experiments/benchmarks/schemes.py STUDY.yaml [--students NAME …] [--batch-size 1]

Builds the reference and the last student (untrained: latency does not depend on weights) in every
quantization, and compares each with its fp32 form in interleaved blocks (see `paretune compare`).
Next to the ratio it prints the number of operators per call that run in integers, and of those that
only convert, after ONNX Runtime's own optimizations. Let nothing else run.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from paretune.runners.build.builder import Builder
from paretune.runners.failure import Failure
from paretune.runners.measure.comparison import compare
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import read_study_file
from paretune.spaces import SCHEMES, BuildSpec, Quantization, RunSpec

CONVERTING = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast")


def main() -> int:
    """Print one line per student and quantization."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--students", nargs="*")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--launches", type=int, default=5)
    arguments = parser.parse_args()
    switch_off_telemetry()
    config = read_study_file(arguments.study)
    loaded = LoadedWorkload(config.workload, arguments.study.resolve().parent)
    builder = Builder(loaded, ArtifactStore(StudyPaths(config, arguments.study).store))
    run = RunSpec("onnxruntime", "CPUExecutionProvider", arguments.batch_size, 1)
    print(f"{'build':<26} {'fp32 ÷ this':>11}   {'interval':<17} in integers, converting")
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "inputs.npy"
        np.save(inputs, loaded.data.validation.inputs)
        for student in arguments.students or (loaded.info.models[0], loaded.info.models[-1]):
            models = {q: built(builder, student, q) for q in map(Quantization, SCHEMES.names)}
            for quantization, model in models.items():
                if quantization in (Quantization.FP32, Quantization.INT8_QAT):
                    continue
                pair = (model, models[Quantization.FP32])
                found = compare(
                    OnnxRuntimeRunner(), pair, run, Samples([inputs]), launches=arguments.launches
                )
                if isinstance(found, Failure):
                    sys.exit(found.message)
                interval = f"{found.ratio.low or 0.0:.3f} … {found.ratio.high or 0.0:.3f}"
                print(
                    f"{f'{student} · {quantization}':<26} {found.ratio.value:>10.3f}×   "
                    f"{interval:<17} {operators(model, Path(name))}",
                    flush=True,
                )
    return 0


def built(builder: Builder, student: str, quantization: Quantization) -> Path:
    """Return the file of a student's skeleton."""
    built = builder.build(BuildSpec(student, 0.0, quantization), is_skeleton=True)
    if isinstance(built, Failure):
        sys.exit(f"{student} · {quantization}: {built.message}")
    path = builder.store.get(built.artifact)
    assert path is not None, "it was just built"
    return path


def operators(model: Path, folder: Path) -> str:
    """Count the operators in integers, and the converting ones, of the optimized graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the optimized file is for this machine alone
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)
    in_integers = sum(
        n for op, n in found.items() if op.startswith("QLinear") or "Integer" in op or "NBits" in op
    )
    return f"{in_integers}, {sum(found[op] for op in CONVERTING)} of {sum(found.values())}"


if __name__ == "__main__":
    sys.exit(main())
