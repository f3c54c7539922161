"""The model card: describes a bundle for other people, with a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.search.deliver.choice import baseline, points
from paretune.search.deliver.recheck import Recheck
from paretune.search.record.gains import latency_metric
from paretune.search.record.history import History
from paretune.search.record.request_time import request_text
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import metric_table, shown_metrics
from paretune.search.review.shortfall import shortfalls

_PICTURE = "frontier.png"

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
        "",
        "## Where it was measured",
        "",
        *(f"- {name}: {value}" for name, value in environment.items()),
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), "utf-8")


def _measured_again(metrics: Sequence[str], rechecks: Mapping[str, Recheck]) -> list[str]:
    """Return lines about the measurement during the pick."""
    told = [f"- {rechecks[name].text}" for name in metrics if name in rechecks]
    return ["Measured again when it was picked:", "", *told, ""] if told else []


def _placement(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what quantizing each layer gains and costs, as a table: the worst bargains first."""
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
        "outputs change if it alone is rounded, relative to them. The worst bargains first.",
        "",
        f"| layer | gain ({unit}) | change of outputs | quantized |",
        "|---|---:|---:|---|",
        *rows,
        *(["", f"{more} more are in `manifest.json`."] if more else []),
        "",
    ]


def _draw(record: TrialRecord, history: History, path: Path) -> None:
    """Draw quality against latency for all points, with this one marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    quality, latency = history.quality_metric, latency_metric(history)
    rest = [r for r in points(history) if r.number != record.number]
    axes.scatter(
        [r.metrics[latency] for r in rest],
        [r.metrics[quality] for r in rest],
        color="#8a96a3",
        s=22,
        label="other points",
    )
    reference = baseline(history)
    if reference and reference.number != record.number:
        base = reference.metrics
        axes.scatter(base[latency], base[quality], marker="*", color="#111111", s=130)
        axes.annotate(
            "baseline",
            (base[latency], base[quality]),
            xytext=(5, -12),
            textcoords="offset points",
        )
    axes.scatter(
        record.metrics[latency], record.metrics[quality], color="#c23b5a", s=70, label="this file"
    )
    axes.set_xscale("log")
    axes.set_xlabel(latency)
    axes.set_ylabel(quality)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path)
