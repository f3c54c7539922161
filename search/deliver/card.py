"""The model card: describes a bundle for other people, with a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretune.search.deliver.bundle_folder import input_files
from paretune.search.deliver.choice import baseline, points
from paretune.search.deliver.recheck import Recheck
from paretune.search.record.gains import latency_metric
from paretune.search.record.history import History
from paretune.search.record.request_time import request_text
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import metric_table, shown_metrics
from paretune.search.review.shortfall import shortfalls

_PICTURE = "frontier.png"

CODE = {
    "onnxruntime": """
import json
import onnxruntime

manifest = json.load(open("manifest.json"))
run, options = manifest["run"], onnxruntime.SessionOptions()
options.intra_op_num_threads = run["session_options"]["intra_op_num_threads"]
providers = [(run["execution_provider"], run["provider_options"])]
session = onnxruntime.InferenceSession(manifest["model"]["file"], options, providers=providers)
outputs = session.run(None, inputs)
""",
    "openvino": """
import json
import openvino

manifest = json.load(open("manifest.json"))
run, file = manifest["run"], manifest["model"]["file"]
core = openvino.Core()
model = core.compile_model(file, run["execution_provider"], run["provider_options"])
outputs = model(inputs)
""",
}
"""Code that runs a bundle's model on ``inputs`` in its folder, by runner."""

_TOLD_LAYERS = 30
"""Layers in the card's table; the manifest has them all."""


def write_card(
    record: TrialRecord,
    history: History,
    folder: Path,
    study: str,
    signature: Mapping[str, Any],
    rechecks: Mapping[str, Recheck] | None = None,
) -> None:
    """Write ``README.md`` and the picture it shows into a bundle.

    Args:
        record: The trial.
        history: All trials.
        folder: The bundle.
        study: The study's name.
        signature: What the model's file says of itself.
        rechecks: The measurement during the pick, if any.
    """
    fp32_layers, constants = signature.get("fp32_layers", []), signature.get("constants", {})
    _draw(record, history, folder / _PICTURE)
    build, run = record.candidate.build, record.candidate.run
    metric, base = history.quality_metric, baseline(history)
    confirmed = {point.number: point for point in history.confirmed}
    split = "test" if record.number in confirmed else "validation"
    metrics = shown_metrics(history, ("frontier", "card"))
    statistics = record.measurement.statistics if record.measurement else {}
    environment = record.measurement.environment if record.measurement else {}
    pruned = f"{build.pruning_ratio:.0%} of the channels removed" if build.pruning_ratio else "no"
    lines = [
        f"# {study}: trial {record.number}",
        "",
        f"**{record.candidate.label}**",
        "",
        f"![its place among the other points]({_PICTURE})",
        "",
        *metric_table(metrics, statistics, base),
        "",
        f"{metric} was measured on the {split} split, with this file in the runtime that was "
        "timed.",
        "",
        *_measured_again(metrics, rechecks or {}),
        *([f"Requests: {text}.", ""] if (text := request_text(record, history)) else []),
        "## How it was made",
        "",
        f"- student: {build.student}; pruning: {pruned}; quantization: {build.scheme}",
        *([f"- layers left in fp32: {', '.join(fp32_layers)}"] if fp32_layers else []),
        *(
            f"- the input {name} is built in as {value}: leave it out of the call"
            for name, value in constants.items()
        ),
        f"- stages: {', '.join(record.lineage) or 'none'}",
        *(f"- {text}" for text in shortfalls(record, history)),
        "",
        *_placement(signature.get("placement", [])),
        "## How to run it",
        "",
        f"- {run.runner}, {run.execution_provider}, batch size {run.batch_size}, "
        f"{run.intra_op_threads} thread(s); `manifest.json` has the session options",
        "- `paretune verify .` checks it again on any machine",
        "- `paretune export . --target litserve` (or triton, …) writes a service that runs it so",
        "",
        *_code(run.runner, signature, run.batch_size),
        "## Where it was measured",
        "",
        *(f"- {name}: {value}" for name, value in environment.items()),
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), "utf-8")


def _code(runner: str, signature: Mapping[str, Any], batch_size: int) -> list[str]:
    """Return code that runs the model on its first samples, if its runner has any."""
    if runner not in CODE:
        return []
    constants = signature.get("constants", {})
    names = [each["name"] for each in signature["inputs"] if each["name"] not in constants]
    files = input_files(Path(), len(names))
    inputs = [
        f'    "{name}": numpy.load("{file}")[:{batch_size}],'
        for name, file in zip(names, files, strict=True)
    ]
    inputs = [
        "",
        "inputs = {  # the first samples; a batch axis that is not first goes there",
        *inputs,
    ]
    lines = [*CODE[runner].strip().splitlines()]
    lines.insert(1, "import numpy")
    return ["```python", *lines[:-1], *inputs, "}", lines[-1], "```", ""]


def _measured_again(metrics: Sequence[str], rechecks: Mapping[str, Recheck]) -> list[str]:
    """Return lines about the measurement during the pick."""
    told = [f"- {rechecks[name].text}" for name in metrics if name in rechecks]
    return ["Measured again when it was picked:", "", *told, ""] if told else []


def _placement(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what quantizing each layer gains and costs: those first that cost most for it."""
    if not layers:
        return []
    unit = "ms" if "gain_ms" in layers[0] else "weights"
    rows = [
        f"| {each['layer']} | {each[f'gain_{unit}']:.4g} | {each['error']:.1e} | "
        f"{'yes' if each['is_quantized'] else 'no'} |"
        for each in layers[:_TOLD_LAYERS]
    ]
    more = len(layers) - len(rows)
    return [
        "## Which layers are quantized",
        "",
        "Measured before quantizing: what each layer gains alone, and by how much the model's "
        "outputs change if it alone is rounded, relative to them. First are those that cost most "
        "for their gain.",
        "",
        f"| layer | gain ({unit}) | change of outputs | quantized |",
        "|---|---:|---:|---|",
        *rows,
        *(["", f"{more} more are in `manifest.json`."] if more else []),
        "",
    ]


def _draw(record: TrialRecord, history: History, path: Path) -> None:
    """Draw quality against latency with intervals for all points, with this one marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(6.4, 4.0), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    quality, latency = history.quality_metric, latency_metric(history)
    base = baseline(history)
    marked = {record.number} | ({base.number} if base else set())
    rest = [r for r in points(history) if r.number not in marked]
    shown: list[tuple[list[TrialRecord], dict[str, Any]]]
    shown = [([record], {"label": "this file", "fmt": "o", "color": "#c23b5a", "markersize": 8})]
    if base and base.number != record.number:
        star = {"label": "baseline", "fmt": "*", "color": "#111111", "markersize": 11}
        shown.append(([base], star))
    if rest:
        shown.append((rest, {"label": "other points", "fmt": "o", "color": "#8a96a3"}))
    for records, style in shown:
        x, y = (np.array([_ends(r, name) for r in records]).T for name in (latency, quality))
        axes.errorbar(x[0], y[0], xerr=x[1:], yerr=y[1:], elinewidth=0.8, **style)
    axes.set_xscale("log")
    axes.margins(0.1)
    axes.xaxis.set_major_formatter(LogFormatter())
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.set_xlabel(latency)
    axes.set_ylabel(quality)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path)


def _ends(record: TrialRecord, name: str) -> tuple[float, float, float]:
    """Return a metric's value, and how far the ends of its interval are below and above it."""
    value = record.metrics[name]
    told = record.measurement.statistics.get(name) if record.measurement else None
    low, high = (value, value) if told is None else told.ends
    return value, max(value - low, 0.0), max(high - value, 0.0)
