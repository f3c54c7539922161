"""Does a picked point keep its promise in a plain loop on the card?

    python promises_cuda.py STUDY.yaml [--seconds 60] [--picks 3] [--out promises.json]

For some published points, those on a card first: picks under a latency budget (2 % above the upper
end of the point's interval, at its batch size), as `paretune pick` does, and runs the picked file
in plain loops (plain_loop.py) in fresh processes. A promise is kept if the median p95 of the plain
loops is within the budget, and the quality on the test split is the manifest's to within two
samples: sums on a card may be added in another order. See also benchmarks/promises.py, which tries
many budgets on a processor.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from artifacts import Artifacts
from plain_process import PlainProcess
from this_machine import providers

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.choice import fresh_records
from paretune.search.record.trial import TrialRecord
from paretune.search.study.api import pick
from paretune.search.study.open_study import load_history
from paretune.spaces import StudyError

LATENCY = "latency_p95_ms"
ROOM = 1.02
PROCESSES = 3
SAMPLES_OFF = 2


def main() -> int:
    """Print a line per pick; return 1 if a promise was broken, or nothing on a card was picked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--picks", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    ends = time.monotonic() + arguments.seconds
    artifacts = Artifacts(arguments.study)
    history = load_history(arguments.study)
    published = {point.number for point in history.published}
    points = wanted(artifacts, [p for p in fresh_records(history) if p.number in published])
    has_card = "eager-cuda" in providers()["pytorch"]
    if not has_card:
        print("no card here: the processor's points are picked")
    rows: list[dict[str, Any]] = []
    longest = 0.0
    for point in points[: arguments.picks]:
        began = time.monotonic()
        if rows and began + longest > ends:
            print("no time for another pick")
            break
        rows.append(one(arguments.study, point, artifacts))
        print(words(rows[-1]), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1), "utf-8")
        longest = max(longest, time.monotonic() - began)
    # A wish that nothing fits is no promise: `pick` refuses what is slower than the reference.
    picked = [row for row in rows if "failure" not in row]
    kept = sum(row["kept"] for row in picked)
    print(f"{kept} of {len(picked)} promises kept")
    on_card = any(row["device"].startswith("gpu:") for row in picked)
    return 0 if picked and kept == len(picked) and on_card >= has_card else 1


def latency(point: TrialRecord) -> Statistic:
    """Return the published latency of a point."""
    assert point.measurement is not None
    return point.measurement.statistics[LATENCY]


def is_on_card(artifacts: Artifacts, point: TrialRecord) -> bool:
    """Tell whether a point ran on a card."""
    run = point.candidate.run
    return artifacts.runner(run.runner).device(run).startswith("gpu:")


def wanted(artifacts: Artifacts, points: list[TrialRecord]) -> list[TrialRecord]:
    """Order points: on a card the slowest, the fastest, the others; then those on a processor."""
    points.sort(key=lambda point: -latency(point).value)
    on_card = [point for point in points if is_on_card(artifacts, point)]
    others = [point for point in points if point not in on_card]
    return [*on_card[:1], *others[-1:], *on_card[:0:-1], *others[:-1]]


def one(study: Path, point: TrialRecord, artifacts: Artifacts) -> dict[str, Any]:
    """Pick under the point's latency, run the file, and return what was promised and kept."""
    run = point.candidate.run
    budget = ROOM * latency(point).ends[1]
    row: dict[str, Any] = {"wished_for": point.number, "budget_ms": budget, "kept": False}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            picked = pick(
                study,
                max_latency_ms=budget,
                batch_size=run.batch_size,
                runner=run.runner,
                out=folder / "bundle",
            )
        except StudyError as error:
            return {**row, "failure": str(error)}
        manifest = json.loads((folder / "bundle" / "manifest.json").read_text("utf-8"))
        how = manifest["run"]
        candidate = picked.record.candidate
        runner = artifacts.runner(how["runner"])
        test = artifacts.loaded.data.test
        np.save(folder / "test.npy", test.inputs)
        p95s = []
        for _ in range(PROCESSES):
            with PlainProcess(
                how["python"],
                how["execution_provider"],
                folder / "bundle" / manifest["model"]["file"],
                folder / "test.npy",
                how["batch_size"],
                how["provider_options"],
                runner.cores(candidate.run),
                how["session_options"]["intra_op_num_threads"],
            ) as loop:
                p95s.append(loop.time(0.5, 0.3)["p95_ms"])
                if len(p95s) == PROCESSES:
                    loop.answers(folder / "answers.npy")
        outputs = np.load(folder / "answers.npy")
    quality = artifacts.loaded.workload.quality(outputs, test.targets)
    promised = manifest["quality"]["value"]
    row |= {
        "trial": picked.record.number,
        "label": candidate.label,
        "device": runner.device(candidate.run),
        "promised_ms": manifest["metrics"][LATENCY]["high"],
        "plain_p95_ms": float(np.median(p95s)),
        "promised_quality": promised,
        "plain_quality": quality,
    }
    same = abs(quality - promised) <= (SAMPLES_OFF + 0.5) / len(test.targets)
    return {**row, "kept": row["plain_p95_ms"] <= budget and same}


def words(row: dict[str, Any]) -> str:
    """Return a row as a line."""
    if "failure" in row:
        return f"budget {row['budget_ms']:.4f} ms: nothing picked: {row['failure']}"
    return (
        f"budget {row['budget_ms']:.4f} ms: trial {row['trial']} on {row['device']} "
        f"({row['label']}); plain p95 {row['plain_p95_ms']:.4f} ms, "
        f"quality {row['plain_quality']:.4f} for {row['promised_quality']:.4f}: "
        + ("kept" if row["kept"] else "BROKEN")
    )


if __name__ == "__main__":
    sys.exit(main())
