"""Is a predicted capacity the measured one? And what do instances, threads and batches do?

    python experiments/benchmarks/capacity.py MODEL.onnx [MODEL.onnx ...]

For each model, on random samples in ONNX Runtime, at three budgets (6, 12 and 24 times the p95 of a
call of one request with one thread; a p99 of three times that is broken by this virtual machine's
own stalls at nearly any rate): the capacity by the queue model, the one by serving load for
real, and their ratio; and the ratio of prediction and measurement within one launch, in which the
changes of the machine from launch to launch are not. At the middle budget also the table of
instances × threads × batch on this machine's cores, and the latency under bursts of three times the
usual rate with and without batches. Needs a quiet machine, and more than six minutes per budget.
Writes all as JSON (`--out`).
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from paretune import capacity, measure
from paretune.search.deliver.capacity.answer import Capacity
from paretune.search.deliver.capacity.capacity_text import capacity_lines, ways_table

BUDGETS = (6, 12, 24)
"""Budgets as multiples of the p95 of a single call alone."""

MIDDLE = 12
"""The budget with the table and the bursts."""

SPIKE = 3.0
"""Times the usual rate in a burst."""

TOLERANCE = 0.1
"""Largest relative difference between predicted and measured that counts as the same."""


def main(arguments: argparse.Namespace) -> int:
    """Print the comparison; return 1 if a prediction is off by more than a tenth."""
    rows: list[dict[str, object]] = []
    worst = 0.0
    for model in arguments.models:
        report = measure(model, careful=False)
        call_ms = report.statistics["latency_p95_ms"].value
        for multiple in arguments.budgets:
            found = capacity(
                model,
                max_latency_ms=multiple * call_ms,
                batch_sizes=arguments.batch,
                launches=arguments.launches,
                seconds=arguments.seconds,
                spike=SPIKE if multiple == MIDDLE else None,
                told=lambda line: print(line, file=sys.stderr),
            )
            if multiple == MIDDLE:
                table(model, found)
            ratio = row(model, multiple, found)
            worst = max(worst, abs(ratio - 1))
            rows.append({"model": str(model), "multiple": multiple, **found.as_dict()})
            Path(arguments.out).write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    print(f"largest difference: {worst:.1%}")
    return 0 if worst <= TOLERANCE else 1


def table(model: Path, found: Capacity) -> None:
    """Print the ways to serve a model, and what was found in words."""
    print(f"\n{model}, budget {found.plan.max_latency_ms:.4g} ms")
    Console(width=140, highlight=False).print(ways_table(found))
    print("\n".join(capacity_lines(found)))


def row(model: Path, multiple: int, found: Capacity) -> float:
    """Print predicted and measured capacity, and return their ratio."""
    assert found.checked is not None
    predicted, measured = found.predicted.per_s, found.checked.rate_per_s
    ratio, own = predicted.value / measured.value, found.checked.model_ratio
    print(
        f"{model.name}, p99 ≤ {found.plan.max_latency_ms:.4g} ms ({multiple} × a call's p95), "
        f"{found.best.words}: predicted {predicted.value:.4g}/s "
        f"({predicted.ends[0]:.4g} … {predicted.ends[1]:.4g}), measured {measured.value:.4g}/s "
        f"({measured.ends[0]:.4g} … {measured.ends[1]:.4g}), ratio {ratio:.3f}; from the same "
        f"launch's calls {own.value:.3f} ({own.ends[0]:.3f} … {own.ends[1]:.3f})"
        + f"; without end {found.predicted.endless_share:.3f} × as much"
        + (" [disturbed]" if found.is_disturbed else "")
    )
    return ratio


def _sizes(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--budgets", type=_sizes, default=BUDGETS, help="multiples, such as 6,24")
    parser.add_argument("--batch", type=_sizes, default="1,2,4,8")
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="of each load that is served")
    parser.add_argument("--out", default="capacity.json")
    sys.exit(main(parser.parse_args()))
