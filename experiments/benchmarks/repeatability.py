"""Can the measurements be trusted? Repeats `paretune measure` and `paretune compare`.

    python experiments/benchmarks/repeatability.py MODEL.onnx [--runs 10] [--compares 20]

Prints, for independent runs of ``measure``: how many p50 intervals hold the grand median, and the
coefficient of variation of p50. For ``compare``: how often a model is told apart from itself (it
should not be), and how often a chain of matrix products is told apart from one that is 5 % longer
(it should be). Let nothing else run meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PARETUNE = [sys.executable, "-m", "paretune"]


def main() -> None:
    """Run the repeats and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--compares", type=int, default=20)
    arguments = parser.parse_args()
    measure(arguments.model, arguments.runs)
    compare(arguments.model, arguments.compares)


def measure(model: Path, runs: int) -> None:
    """Measure a model repeatedly, each time in a separate process."""
    reports = [json.loads(run("measure", model, "--json"))[0] for _ in range(runs)]
    p50 = [report["statistics"]["latency_p50_ms"] for report in reports]
    values = [each["value"] for each in p50]
    grand = statistics.median(values)
    holding = sum(each["low"] <= grand <= each["high"] for each in p50)
    variation = statistics.stdev(values) / statistics.mean(values)
    resolved = sum(report["is_resolved"] for report in reports)
    launches = sum(len(report["launches"]) for report in reports)
    disturbed = sum(report["contaminated_launches"] for report in reports)
    print(f"measure, {runs} runs: grand median of p50 {grand:.5f} ms")
    print(f"  intervals that hold it: {holding} of {runs}; resolved: {resolved} of {runs}")
    print(f"  coefficient of variation of p50: {variation:.2%}")
    print(f"  launches: {launches}, disturbed and repeated: {disturbed}", flush=True)


def compare(model: Path, times: int) -> None:
    """Compare a model with itself, and a chain with a longer one."""
    same = [verdict("compare", model, model) for _ in range(times)]
    print(f"compare with itself, {times} times: cannot tell {same.count('cannot tell')}")
    with tempfile.TemporaryDirectory() as name:
        short, long = chain(Path(name) / "20.onnx", 20), chain(Path(name) / "21.onnx", 21)
        options = ("--batch-size", "16")
        told = [verdict("compare", short, long, *options) for _ in range(times // 2)]
    print(f"compare 20 layers with 21, {times // 2} times: slower {told.count('slower')}")


def verdict(*arguments: str | Path) -> str:
    """Return the verdict that a command prints."""
    line = run(*arguments).splitlines()[-1]
    return next(word for word in ("cannot tell", "slower", "faster") if word in line)


def run(*arguments: str | Path) -> str:
    """Run the command line and return what it prints."""
    command = [*PARETUNE, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def chain(path: Path, layers: int) -> Path:
    """Write a chain of equal matrix products, 256 wide."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((256, 256)).astype(np.float32) / 16, f"w{i}")
        for i in range(layers)
    ]
    nodes = [helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"]) for i in range(layers)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["batch", 256])],
        [helper.make_tensor_value_info(f"h{layers}", TensorProto.FLOAT, ["batch", 256])],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


if __name__ == "__main__":
    main()
