"""Draw the README's picture from the transcript in ``evidence.md``.

    python docs/picture.py

Each point is a trial of the search of Magika's model, as the search printed it.
"""

import re
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
SECTION = "## An ONNX file: Magika"
TRIAL = re.compile(
    r"trial (?P<number>\d+): .*? · (?P<runtime>onnxruntime|openvino)/CPU · (?P<threads>\d) thr.*?"
    r"→ accuracy (?P<accuracy>[\d.]+), p95 ms (?P<p95>[\d.]+)"
)
PICKED = 7
"""The trial that ``paretune pick`` gave (the next transcript of that section)."""


class Point(NamedTuple):
    """One trial: its number, runtime, p95 latency in milliseconds, and accuracy."""

    number: int
    runtime: str
    p95_ms: float
    accuracy: float


def points() -> list[Point]:
    """Return the trials of the first transcript of the section, in its order."""
    section = (HERE / "evidence.md").read_text("utf-8").split(SECTION)[1].split("\n## ")[0]
    return [
        Point(int(each["number"]), each["runtime"], float(each["p95"]), float(each["accuracy"]))
        for each in TRIAL.finditer(section)
    ]


def draw(out: Path) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, NullFormatter

    drawn = points()
    figure, axes = pyplot.subplots(figsize=(9, 4.2), dpi=120)
    for runtime, color in (("onnxruntime", "#0072b2"), ("openvino", "#d55e00")):
        of_it = [each for each in drawn if each.runtime == runtime]
        label = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}[runtime]
        x, y = [each.p95_ms for each in of_it], [100 * each.accuracy for each in of_it]
        axes.scatter(x, y, s=46, color=color, alpha=0.75, label=label, zorder=2)
    before = next(each for each in drawn if each.number == 0)
    after = next(each for each in drawn if each.number == PICKED)
    for each, words, marker in (
        (before, f"your model: {before.p95_ms:.2f} ms", "*"),
        (after, f"picked: {after.p95_ms:.2f} ms", "o"),
    ):
        axes.scatter(
            each.p95_ms,
            100 * each.accuracy,
            s=260 if marker == "*" else 150,
            marker=marker,
            facecolor="black" if marker == "*" else "none",
            edgecolor="black",
            linewidth=1.8,
            zorder=3,
        )
        axes.annotate(
            words,
            (each.p95_ms, 100 * each.accuracy),
            xytext=(0, 14),
            textcoords="offset points",
            ha="center",
            fontsize=11,
            fontweight="bold",
        )
    axes.set(
        xscale="log",
        xlabel="95 of 100 calls take at most this many milliseconds (log scale): left is faster",
        ylabel="accuracy, % (search's samples)",
        title="Magika: each point is a file that was built and timed by one search of 4½ minutes",
    )
    axes.set_xticks([0.6, 0.8, 1, 1.5, 2, 3, 4, 5])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0.58, 6)
    axes.set_ylim(80.5, 98.5)
    axes.grid(alpha=0.25)
    axes.legend(title="runs on", loc="lower right")
    figure.tight_layout()
    figure.savefig(out)
    pyplot.close(figure)


if __name__ == "__main__":
    draw(HERE / "frontier.png")
