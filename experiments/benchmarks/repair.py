"""Benchmark: a model whose int8 collapses, repaired by leaving some layers in fp32.

    python experiments/benchmarks/repair.py

A perceptron learns handwritten digits; then some channels of its second layer are made a thousand
times larger and the weights behind them as much smaller, as outlier channels are in large models:
its answers stay the same. It is exported and searched as an ONNX file with labels, with shares of
its layers left in fp32. It prints the original, plain int8 and the fastest candidate within a point
of the original next to each other, and the layers that it leaves in fp32. Let nothing else run.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn.datasets import load_digits
from torch import nn

import paretune
from paretune.search.record.trial import TrialRecord

WIDTH, HIDDEN, OUTLIERS, FACTOR = 1024, 5, 8, 1000.0
POINT = 0.01


def main() -> int:
    """Print the table; return 1 if nothing within a point is faster than the original."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, data = write_model(folder)
        study = paretune.onnx_study(model, data, labels="labels", folder=folder / "study")
        values = yaml.safe_load(study.read_text("utf-8"))
        values |= {"strategy": {"sampler": "exhaustive"}, "confirmation": {"enabled": False}}
        values["space"] = {
            "quantization": ["fp32", "int8-static"],
            "fp32_layer_share": [0.0, 0.15, 0.3, 0.5],
        }
        study.write_text(yaml.safe_dump(values), "utf-8")
        history = paretune.run(study).history
        found = {r.candidate.build.scheme: r for r in history.measured}
        whole, plain = found["fp32"], found["int8-static"]
        fine = [
            r
            for r in history.measured
            if r.candidate.build.is_compressed
            and r.metrics["accuracy"] >= whole.metrics["accuracy"] - POINT
        ]
        shown = [whole, plain]
        if fine:
            shown.append(min(fine, key=lambda r: r.metrics["latency_p50_ms"]))
        table(shown)
        if not fine:
            print("nothing is within a point of the original")
            return 1
        limit = paretune.pick(
            study, min_quality=whole.metrics["accuracy"] - POINT, measure=False, out=folder / "out"
        )
        manifest = json.loads((folder / "out" / "manifest.json").read_text("utf-8"))
        print(f"picked: trial {limit.record.number}, {limit.record.candidate.build.scheme}")
        print(f"left in fp32: {', '.join(manifest['model']['fp32_layers']) or 'nothing'}")
    return 0 if shown[-1].metrics["latency_p50_ms"] < whole.metrics["latency_p50_ms"] else 1


def write_model(folder: Path) -> tuple[Path, Path]:
    """Train a model, add outlier channels, export it; return the file and labelled samples."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    inputs = torch.from_numpy((images / 16).astype(np.float32))
    layers: list[nn.Module] = [nn.Linear(64, WIDTH), nn.ReLU()]
    for _ in range(HIDDEN - 1):
        layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    targets = torch.from_numpy(labels)
    trained = slice(0, 900)  # the rest calibrates and judges
    for _ in range(30):
        for rows in torch.randperm(900).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[trained][rows]), targets[trained][rows])
            loss.backward()
            optimizer.step()
    first, second = model[2], model[4]
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    with torch.no_grad():
        before = model(inputs)
        first.weight[:OUTLIERS] *= FACTOR
        first.bias[:OUTLIERS] *= FACTOR
        second.weight[:, :OUTLIERS] /= FACTOR
        torch.testing.assert_close(model(inputs), before, rtol=1e-3, atol=1e-3)
    path = folder / "outliers.onnx"
    torch.onnx.export(
        model.eval(),
        (inputs[:2],),
        path,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    data = folder / "samples.npz"
    np.savez(data, samples=inputs.numpy()[900:], labels=labels[900:])
    return path, data


def table(records: list[TrialRecord]) -> None:
    """Print accuracy, latency and size next to each other."""
    base = records[0].metrics
    print(f"{'':<34} {'accuracy':>9} {'p50 ms':>9} {'p95 ms':>9} {'bytes':>11}")
    for record, name in zip(records, ("fp32", "plain int8", "repaired"), strict=False):
        metrics = record.metrics
        faster = base["latency_p50_ms"] / metrics["latency_p50_ms"]
        scheme = record.candidate.build.scheme
        label = name if name == scheme else f"{name} ({scheme})"
        print(
            f"{label:<34} {metrics['accuracy']:>9.4f} {metrics['latency_p50_ms']:>9.4f} "
            f"{metrics['latency_p95_ms']:>9.4f} {metrics['size_bytes']:>11,.0f}   {faster:.2f} ×"
        )


if __name__ == "__main__":
    sys.exit(main())
