"""Check a finished study from MLflow alone: is its search frontier right, do its files load?

    python experiments/check_frontier.py STUDY.yaml

Reads the child runs through MLflow's client, computes the non-dominated set by comparing every run
with every other, and loads every frontier point's file in its runtime. None of the project's own
frontier code is used. This is the search's own frontier, by the search's values; the published
frontier has fresh values. Exit code 1 if anything is wrong.
"""

import json
import os
import sys
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import onnxruntime
import yaml
from mlflow.entities import Run
from mlflow.tracking import MlflowClient


def main(study_file: Path) -> int:
    """Check a study; return the exit code."""
    study = yaml.safe_load(study_file.read_text("utf-8"))
    results = study_file.resolve().parent / study.get("output_dir", "results")
    client = MlflowClient(tracking_uri=study.get("tracking_uri", f"sqlite:///{results}/mlflow.db"))
    experiment = client.get_experiment_by_name(study["name"])
    runs = client.search_runs(
        [experiment.experiment_id], "tags.`paretune.role` = 'trial'", max_results=5000
    )
    measured = [run for run in runs if run.data.tags["outcome"] == "measured"]
    print(f"{len(runs)} trials in MLflow, {len(measured)} of them measured:")
    for name in ("student", "pruning_ratio", "quantization", "batch_size"):
        values = sorted({run.data.params[name] for run in measured})
        print(f"  {len(values)} of {name}: {', '.join(values)}")

    brute = {run.info.run_id for run in measured if not any(_beats(o, run) for o in measured)}
    tagged = {run.info.run_id for run in measured if run.data.tags["search_frontier"] == "true"}
    print(f"frontier by brute force: {len(brute)} runs; tagged in MLflow: {len(tagged)} runs")
    loaded = 0
    for run in (run for run in measured if run.info.run_id in tagged):
        digest = run.data.tags["artifact"]
        folder = results / "store" / "objects" / digest[:2] / digest
        # Stores of earlier versions have the ONNX file itself there.
        _load(folder / _first_file(folder) if folder.is_dir() else folder)
        loaded += 1
    print(f"files of the frontier loaded in their runtimes: {loaded} of {len(tagged)}")
    good = bool(tagged) and brute == tagged and loaded == len(tagged)
    print("the search frontier is right" if good else "THE SEARCH FRONTIER IS WRONG")
    return 0 if good else 1


def _first_file(folder: Path) -> str:
    """Return the name of an artifact's model file."""
    name: str = json.loads((folder / "manifest.json").read_text("utf-8"))["files"][0]["name"]
    return name


def _load(path: Path) -> None:
    """Load a model file."""
    if path.suffix == ".xml":
        import openvino

        openvino.Core().compile_model(path, "CPU")
    else:
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _beats(one: Run, other: Run) -> bool:
    """Tell whether one run is no worse in accuracy, p95 and throughput, and better in one."""
    a, b = (
        {name.rpartition("/")[2]: value for name, value in run.data.metrics.items()}
        for run in (one, other)
    )
    gains = (
        a["accuracy"] - b["accuracy"],
        b["latency_p95_ms"] - a["latency_p95_ms"],
        a["throughput_samples_per_s"] - b["throughput_samples_per_s"],
    )
    return min(gains) >= 0 and max(gains) > 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
