"""Benchmark: does a long study's process keep its size?

    python experiments/benchmarks/soak.py [--trials 1200]

Runs `paretune search` on digits with one student, few builds and many run settings, so that a
thousand real measurements take minutes. It watches the search's memory, open descriptors and
threads from outside. Exit code 1 if memory grows by over 5 % after the first 200 trials.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import yaml

SETTLED = 200
MOST_GROWTH = 0.05


def main() -> int:
    """Print one line per hundred trials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        study = write_study(Path(name), arguments.trials)
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "paretune", "search", str(study)],
            stdout=subprocess.PIPE,
            text=True,
        )
        watched = psutil.Process(process.pid)
        assert process.stdout is not None
        done, sizes = 0, dict[int, int]()
        print(f"{'trials':>6} {'MB':>8} {'descriptors':>11} {'threads':>7} {'MB on disk':>10}")
        for line in process.stdout:
            done += "→" in line
            if "→" in line and done % 100 == 0:
                sizes[done] = watched.memory_info().rss
                disk = sum(f.stat().st_size for f in Path(name).rglob("*") if f.is_file())
                print(
                    f"{done:>6} {sizes[done] / 1e6:>8.1f} {watched.num_fds():>11} "
                    f"{watched.num_threads():>7} {disk / 1e6:>10.1f}",
                    flush=True,
                )
        code = process.wait()
    if code or SETTLED not in sizes:
        print(f"the search ended with exit code {code} after {done} trials")
        return 1
    growth = max(sizes.values()) / sizes[SETTLED] - 1
    print(f"memory after {SETTLED} trials grew by at most {growth:.1%}")
    return 0 if growth <= MOST_GROWTH else 1


def write_study(folder: Path, trials: int) -> Path:
    """Write the study file."""
    workload = Path(__file__).parents[1] / "digits" / "workload.py"
    values = {
        "name": "soak",
        "workload": f"{workload}:Digits",
        "space": {
            "student": ["reference", "tiny"],
            "pruning_ratio": [0.0, 0.5],
            "quantization": ["fp32", "fp16", "int8-static", "int8-dynamic"],
            "batch_size": list(range(1, 65)),
            "intra_op_threads": [1, 2],
        },
        "budget": {"trials": trials},
        "measurement": {
            "launches": 2,
            "warmup_seconds": 0.02,
            "min_seconds": 0.02,
        },
        "confirmation": {"enabled": False},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
