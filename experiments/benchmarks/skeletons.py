"""Benchmark: does a skeleton take as long as the trained model?

    python experiments/benchmarks/skeletons.py STUDY.yaml [--batch-size 1] [--launches 7]

Builds skeleton and trained artifact of a student, dense and pruned, in fp32 and int8, and compares
their times in interleaved blocks (see `paretune compare`). A ratio whose interval contains 1 shows
no difference. Let nothing else run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from paretune.runners.build.builder import Builder
from paretune.runners.failure import Failure
from paretune.runners.measure.comparison import compare
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Samples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.configure.study_file import read_study_file
from paretune.spaces import BuildSpec, Quantization, RunSpec

RESOLUTION = 0.01


def main() -> int:
    """Print one line per build; return 1 if any ratio's interval excludes 1 by over 1 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--launches", type=int, default=7)
    arguments = parser.parse_args()
    switch_off_telemetry()
    config = read_study_file(arguments.study)
    loaded = LoadedWorkload(config.workload, arguments.study.resolve().parent)
    student = loaded.info.models[len(loaded.info.models) // 2]
    run = RunSpec("onnxruntime", "CPUExecutionProvider", arguments.batch_size, 1)
    differ = 0
    print(f"{'build':<32} {'skeleton ÷ trained':>20}   interval")
    with tempfile.TemporaryDirectory() as name:
        store = ArtifactStore(Path(name) / "store")
        builder = Builder(loaded, store)
        inputs = Path(name) / "inputs.npy"
        with inputs.open("wb") as file:
            import numpy as np

            np.save(file, loaded.data.validation.inputs)
        for ratio in (0.0, 0.5):
            for quantization in (Quantization.FP32, Quantization.INT8_STATIC):
                spec = BuildSpec(student, ratio, quantization)
                trained = builder.build(spec)
                skeleton = builder.build(spec, is_skeleton=True)
                if isinstance(trained, Failure) or isinstance(skeleton, Failure):
                    sys.exit(f"{spec}: {trained} {skeleton}")
                models = store.get(trained.artifact), store.get(skeleton.artifact)
                assert models[0] is not None and models[1] is not None, "they were just built"
                found = compare(
                    OnnxRuntimeRunner(),
                    (models[0], models[1]),
                    run,
                    Samples([inputs]),
                    launches=arguments.launches,
                )
                if isinstance(found, Failure):
                    sys.exit(f"{spec}: {found.message}")
                low, high = found.ratio.low or 0.0, found.ratio.high or 0.0
                differ += low > 1 + RESOLUTION or high < 1 - RESOLUTION
                label = f"{student} · prune {ratio:g} · {quantization}"
                print(
                    f"{label:<32} {found.ratio.value:>20.4f}   {low:.4f} … {high:.4f}", flush=True
                )
    print("skeletons take as long" if not differ else f"{differ} DIFFER")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
