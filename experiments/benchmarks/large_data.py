"""How much more memory does a study take whose data does not fit into memory?

    python experiments/benchmarks/large_data.py [--gb 20] [--trials 3] [--epochs 0]

Runs the same study on 0.2 GB and on 20 GB of pictures in memory-mapped files. The files are sparse,
so that they take no room, but are read like any others. It prints the peak of the memory of all the
study's processes together (their proportional set sizes, so that a page that several of them share
counts once), read five times a second, and fails if the large one takes 2 GB more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import yaml

SHAPE = (3, 224, 224)
MOST_GB = 2.0
SMALL_GB = 0.2
SHARES = {"train": 0.7, "calibration": 0.01, "validation": 0.19, "test": 0.1}

WORKLOAD = '''
from pathlib import Path

import numpy as np
import torch
from torch import nn

from paretune import Data, Recipe, Split, Workload

EPOCHS = 0
FOLDER = Path(__file__).parent


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 16, 7, stride=8),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )


class Pictures(Workload):
    """Pictures in memory-mapped files; without epochs the reference is trained already."""

    def models(self):
        return {"reference": Net}

    def data(self):
        return Data(*(self.split(name) for name in ("train", "calibration", "validation", "test")))

    def split(self, name):
        pictures = np.load(FOLDER / f"{name}.npy", mmap_mode="r")
        return Split(pictures, np.arange(len(pictures)) % 10)

    def recipe(self):
        return Recipe(reference_epochs=EPOCHS, batch_size=64, patience_epochs=0)

    def train_reference(self, model, data):
        if EPOCHS:
            return super().train_reference(model, data)
        torch.manual_seed(0)
        for each in model.parameters():
            nn.init.normal_(each, std=0.1)
'''

STUDY = {
    "name": "large",
    "workload": "workload.py:Pictures",
    "space": {
        "student": ["reference"],
        "pruning_ratio": [0.0],
        "quantization": ["fp32", "int8-static", "int8-dynamic"],
        "batch_size": [8],
        "execution_provider": ["CPUExecutionProvider"],
        "intra_op_threads": [1],
    },
    "measurement": {"quality_samples": 500, "launches": 1, "min_seconds": 0.1, "idle_wait_s": 0.0},
    "confirmation": {"launches": 2, "max_launches": 2, "min_seconds": 0.1, "warmup_seconds": 0.1},
    "tracking": False,
}


def main() -> int:
    """Print both peaks; return 1 if the large study takes 2 GB more than the small one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=20.0)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="passes to train the reference")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one by default")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for size_gb in (SMALL_GB, given.gb):
            folder = (given.folder or Path(name)) / f"{size_gb:g}"
            folder.mkdir(parents=True)
            write(folder, size_gb, given.epochs)
            rows.append({"gb": size_gb, **run(folder, given.trials)})
            print(json.dumps(rows[-1]), flush=True)
    more_gb = rows[1]["peak_gb"] - rows[0]["peak_gb"]
    print(f"{given.gb:g} GB of data take {more_gb:.2f} GB more memory than {SMALL_GB:g} GB do")
    return int(more_gb > MOST_GB or any(row["exit"] for row in rows))


def write(folder: Path, size_gb: float, epochs: int) -> None:
    """Write a study of so many gigabytes; the first pictures of each file are not empty."""
    rng = np.random.default_rng(0)
    for name, share in SHARES.items():
        count = max(16, int(size_gb * 1e9 * share / (4 * np.prod(SHAPE))))
        file = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.dtype(np.float32), (count, *SHAPE)
        )
        file[:16] = rng.normal(size=(16, *SHAPE))
        file.flush()
    workload = WORKLOAD.replace("EPOCHS = 0", f"EPOCHS = {epochs}")
    (folder / "workload.py").write_text(workload, "utf-8")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY), "utf-8")


def run(folder: Path, trials: int) -> dict[str, float]:
    """Run the study; return its exit status, seconds and peak memory."""
    command = [sys.executable, "-m", "paretune", "search", "study.yaml", "--trials", str(trials)]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    started = time.monotonic()
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        peaks = {"all": 0, "one": 0}
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, peaks, done))
        watcher.start()
        status = process.wait()
        done.set()
        watcher.join()
    return {
        "exit": status,
        "seconds": round(time.monotonic() - started, 1),
        "peak_gb": round(peaks["all"] / 1e9, 3),
        "largest_process_gb": round(peaks["one"] / 1e9, 3),
        "store_gb": round(stored(folder) / 1e9, 3),
    }


def watch(pid: int, peaks: dict[str, int], done: threading.Event) -> None:
    """Keep the highest sum of the proportional set sizes of a process and all below it."""
    root = psutil.Process(pid)
    while not done.wait(0.2):
        try:
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        sizes = [proportional_bytes(each.pid) for each in family]
        peaks["all"] = max(peaks["all"], sum(sizes))
        peaks["one"] = max(peaks["one"], *sizes)


def proportional_bytes(pid: int) -> int:
    """Return a process's proportional set size, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def stored(folder: Path) -> int:
    """Return the bytes of the study's store on the disk."""
    files = (folder / "results" / "store").rglob("*")
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
