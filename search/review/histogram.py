"""The latency histogram of one measurement."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_histogram(samples: Path, title: str, picture: Path) -> None:
    """Draw call latencies, one outline per launch, with the median and the 95th percentile.

    Args:
        samples: The raw samples: an ``.npz`` file with the times of each launch in ms.
        title: The title.
        picture: The ``.png`` file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with np.load(samples) as file:
        launches = [file[name] for name in file.files if name.endswith("_latency_ms")]
    calls = np.concatenate(launches)
    low, high = np.percentile(calls, [0, 99.5])
    bins = np.linspace(low, max(high, low * 1.001), 60).tolist()
    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.hist(calls, bins=bins, color="#c9d3dd", density=True, label=f"{len(calls):,} calls")
    for launch in launches:
        axes.hist(launch, bins=bins, histtype="step", color="#4c5b6b", lw=0.7, density=True)
    for percentile, color in ((50, "#0072b2"), (95, "#c23b5a")):
        at = float(np.percentile(calls, percentile))
        axes.axvline(at, color=color, lw=1.5, label=f"p{percentile} {at:.4g} ms")
    axes.set_title(f"{title}\n{len(launches)} launches, one line each", fontsize=9)
    axes.set_xlabel("latency per call, ms (the slowest 0.5 % are not shown)")
    axes.set_yticks([])
    axes.legend(frameon=False)
    figure.savefig(picture)
