"""Print what a pick has gained, as a table that needs no other page.

    python experiments/before_and_after.py BUNDLE

Reads the manifest in the folder that `paretune pick --out` wrote.
"""

import json
import sys
from pathlib import Path
from typing import Any

from paretune.runners.metric import metric_of

WIDTHS = (36, 14, 14)


def main(bundle: Path) -> None:
    """Print the table, then where the file is and what can be done with it."""
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    after = {name: each["value"] for name, each in manifest["metrics"].items()}
    run, before = manifest["run"], manifest["baseline"]
    show("", "before", "after", "gain")
    for row in rows(before, after, manifest["quality"]["metric"]):
        show(*row)
    threads = run["session_options"]["intra_op_num_threads"]
    provider = run["execution_provider"].removesuffix("ExecutionProvider")
    print(f"\nThe file is {bundle / manifest['model']['file']}.")
    print(
        f"It was measured in {run['runner']} on {provider}, with {threads} "
        f"{'thread' if threads == 1 else 'threads'}: manifest.json beside it says how to run it."
    )
    print(f"next: paretune verify {bundle}")


def rows(before: dict[str, float], after: dict[str, float], quality: str) -> list[tuple[Any, ...]]:
    """Return the rows: what, before, after, gain."""
    latency, rate, size = "latency_p95_ms", "throughput_samples_per_s", "size_bytes"
    change = after[quality] - before[quality]
    return [
        (
            "95 of 100 calls take at most",
            f"{before[latency]:.3g} ms",
            f"{after[latency]:.3g} ms",
            times(before[latency] / after[latency], "faster", "slower"),
        ),
        (
            "samples per second",
            f"{before[rate]:,.0f}",
            f"{after[rate]:,.0f}",
            times(after[rate] / before[rate], "as many", "fewer"),
        ),
        (
            f"{quality} on samples it never saw",
            f"{before[quality]:.3f}",
            f"{after[quality]:.3f}",
            f"{metric_of(quality).change(change)}",
        ),
        (
            "size of the file",
            f"{before[size] / 1e6:.2f} MB",
            f"{after[size] / 1e6:.2f} MB",
            times(before[size] / after[size], "smaller", "larger"),
        ),
    ]


def times(ratio: float, above: str, below: str) -> str:
    """Return a ratio in words."""
    if f"{ratio:.1f}" == "1.0":
        return "the same"
    return f"{ratio:.1f} times {above}" if ratio >= 1 else f"{1 / ratio:.1f} times {below}"


def show(what: str, *cells: str) -> None:
    """Print a line of the table."""
    first, *others = WIDTHS
    told = "".join(f"{cell:>{width}}" for cell, width in zip(cells, others, strict=False))
    print(f"{what:<{first}}{told}   {cells[-1]}".rstrip())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
