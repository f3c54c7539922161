"""fp16, bf16 and int8 against fp32 on a card: latency, throughput and energy per sample.

    python schemes_cuda.py STUDY.yaml... [--seconds 100] [--out schemes.json]

For the trained reference of each study, at batch 1, 8 and 64, in ONNX Runtime's CUDA provider and
in PyTorch with CUDA graphs (eagerly, where this version has none). Each line is one launch, so it
has no interval; `paretune measure` gives one. What the time did not reach is said. Without a card,
ONNX Runtime's CPU provider is measured instead, and that is said.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from agreement_cuda import device_p50_ms
from artifacts import FORMAT_OF, Artifacts
from this_machine import providers

from paretune.runners.failure import Failure
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

BATCH_SIZES = (1, 8, 64)
SETTINGS = MeasurementSettings(warmup_seconds=0.3, min_seconds=0.4, timeout_s=60.0)
TARGETS = (
    ("onnxruntime", ("CUDAExecutionProvider",)),
    ("pytorch", ("eager-cuda-graphs", "eager-cuda")),
)


def main() -> int:
    """Print a line per launch; return 1 if one failed or was not reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    ends, here = time.monotonic() + arguments.seconds, providers()
    targets = [
        (runner, found[0])
        for runner, names in TARGETS
        if (found := [name for name in names if name in here[runner]])
    ]
    if not targets:
        print("no card here: the processor is measured instead")
        targets = [("onnxruntime", "CPUExecutionProvider")]
    kept = {study: Artifacts(study) for study in arguments.studies}
    # Every model in one runtime first, then in the other, so that a short time shows both models.
    turns = [
        (study, *targets[(place + shift) % len(targets)])
        for shift in range(len(targets))
        for place, study in enumerate(kept)
    ]
    rows: list[dict[str, Any]] = []
    print(
        f"{'model':<10} {'on':<22} {'scheme':<12} {'batch':>5} {'p50 ms':>9} {'no copies':>9} "
        f"{'samples/s':>10} {'mJ/sample':>10} {'× fp32':>7}"
    )
    with tempfile.TemporaryDirectory() as name:
        for study, runner, provider in turns:
            artifacts = kept[study]
            for scheme in artifacts.schemes(FORMAT_OF[runner]):
                for size in BATCH_SIZES:
                    row: dict[str, Any] = {
                        "model": artifacts.config.name,
                        "target": f"{runner}/{provider}",
                        "scheme": scheme,
                        "batch_size": size,
                    }
                    if time.monotonic() > ends:
                        row["failure"] = "not reached in time"
                    else:
                        row |= measured(artifacts, scheme, RunSpec(runner, provider, size, 1), name)
                        show(row, rows)
                    rows.append(row)
                    if arguments.out:
                        arguments.out.write_text(json.dumps(rows, indent=1), "utf-8")
    late = sum(row.get("failure") == "not reached in time" for row in rows)
    if late:
        print(f"{late} of {len(rows)} lines were not reached in {arguments.seconds:.0f} s")
    return 1 if any("failure" in row for row in rows) else 0


def measured(artifacts: Artifacts, scheme: str, run: RunSpec, folder: str) -> dict[str, Any]:
    """Return the numbers of one launch, or why there are none."""
    runner = RUNTIMES.get(run.runner).make_runner()
    model = artifacts.file(scheme, FORMAT_OF[run.runner])
    if isinstance(model, Failure):
        return {"failure": f"{model.stage}: {model.message}"}
    samples = artifacts.samples(Path(folder))
    with lease(runner.device(run)) as held:
        launch = runner.launch(model, run, samples, Path(folder), SETTINGS, held)
    if isinstance(launch, Failure):
        return {"failure": launch.message}
    energy = launch.energy_mj
    return {
        "p50_ms": launch.percentile(50),
        "device_p50_ms": device_p50_ms(launch),
        "samples_per_s": 1e3 * run.batch_size / float(np.mean(launch.latency_ms)),
        "mj_per_sample": None if energy is None else energy / run.batch_size,
        "first_inference_ms": launch.first_inference_ms,
    }


def show(row: dict[str, Any], before: list[dict[str, Any]]) -> None:
    """Print a row, with its speed against fp32 in the same runtime at the same batch size."""
    head = f"{row['model']:<10} {row['target'].split('/')[1]:<22} {row['scheme']:<12} "
    head += f"{row['batch_size']:>5}"
    if "failure" in row:
        print(f"{head} {row['failure'].splitlines()[0][:150]}", flush=True)
        return
    names = ("model", "target", "batch_size")
    like = [b for b in before if all(b[n] == row[n] for n in names) and b["scheme"] == "fp32"]
    if like and "p50_ms" in like[0]:
        row["times_fp32"] = like[0]["p50_ms"] / row["p50_ms"]
    cells = [
        (row["p50_ms"], ">9.4f"),
        (row["device_p50_ms"], ">9.4f"),
        (row["samples_per_s"], ">10.0f"),
        (row["mj_per_sample"], ">10.3f"),
        (row.get("times_fp32"), ">7.2f"),
    ]
    shown = [format(v, f) if v is not None else f"{'–':{f.split('.')[0]}}" for v, f in cells]
    print(" ".join([head, *shown]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
