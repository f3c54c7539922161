"""Does a picked file do what its manifest says? A plain ONNX Runtime loop, without Paretune.

    python experiments/benchmarks/picked_latency.py DIR

DIR was written by ``paretune pick --out DIR`` for the digits study. Prints the manifest's p50 and
accuracy next to those of plain loops in fresh processes of the manifest's interpreter, and their
ratio. It imports numpy, scikit-learn and ONNX Runtime, and nothing of Paretune.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LAUNCHES = 5


def main(folder: Path) -> int:
    """Print the comparison; return 1 if p50 is off by more than 15 % or the accuracy differs."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "split.npz"
        inputs, targets = held_out_split(manifest["quality"]["split"])
        np.savez(data, inputs=inputs, targets=targets)
        command = [manifest["run"]["python"], __file__, str(folder), "--once", str(data)]
        launches = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(LAUNCHES)
        ]
    promised = manifest["metrics"]["latency_p50_ms"]["value"]
    measured = statistics.median(launch["p50_ms"] for launch in launches)
    accuracies = {launch["accuracy"] for launch in launches}
    ratio = measured / promised
    print(f"{'':<10} {'manifest':>12} {'plain loop':>12}")
    print(f"{'p50 ms':<10} {promised:>12.5f} {measured:>12.5f}   ratio {ratio:.3f}")
    same = accuracies == {manifest["quality"]["value"]}
    print(
        f"{'accuracy':<10} {manifest['quality']['value']:>12.6f} {accuracies.pop():>12.6f}   "
        f"{'exactly equal' if same else 'DIFFERENT'}"
    )
    print("p50 of each process: " + ", ".join(f"{launch['p50_ms']:.5f}" for launch in launches))
    return 0 if same and abs(ratio - 1) <= 0.15 else 1


def once(folder: Path, data: Path) -> None:
    """Load the file as the manifest says, time it, and print p50, p95 and accuracy as JSON."""
    import onnxruntime

    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    run = manifest["run"]
    options = onnxruntime.SessionOptions()
    for name, value in run["session_options"].items():
        is_level = name == "graph_optimization_level"
        setattr(options, name, onnxruntime.GraphOptimizationLevel(value) if is_level else value)
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"),
        options,
        providers=[(run["execution_provider"], run["provider_options"])],
    )
    arrays = np.load(data)
    inputs, targets = arrays["inputs"], arrays["targets"]
    size, name = run["batch_size"], manifest["model"]["inputs"][0]["name"]
    batch = inputs[:size]
    until = time.perf_counter() + 0.5
    while time.perf_counter() < until:
        session.run(None, {name: batch})
    times = []
    for _ in range(2000):
        started = time.perf_counter_ns()
        session.run(None, {name: batch})
        times.append((time.perf_counter_ns() - started) / 1e6)
    outputs = [
        session.run(None, {name: inputs[start : start + size]})[0]
        for start in range(0, len(inputs), size)
    ]
    answers = np.concatenate(outputs)
    np.save(data.with_name("plain_outputs.npy"), answers)
    accuracy = float((answers.argmax(axis=1) == targets).mean())
    p95_ms = float(np.percentile(times, 95))
    print(json.dumps({"p50_ms": statistics.median(times), "p95_ms": p95_ms, "accuracy": accuracy}))


def held_out_split(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits study's validation or test split, made from scikit-learn alone."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    _, held, _, held_labels = train_test_split(
        images, labels, test_size=899, random_state=0, stratify=labels
    )
    validation, test, validation_targets, test_targets = train_test_split(
        held, held_labels, test_size=449, random_state=0, stratify=held_labels
    )
    return (test, test_targets) if name == "test" else (validation, validation_targets)


if __name__ == "__main__":
    if "--once" in sys.argv:
        once(Path(sys.argv[1]), Path(sys.argv[3]))
    else:
        sys.exit(main(Path(sys.argv[1])))
