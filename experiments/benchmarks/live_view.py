"""What does the live view cost that a search shows on a terminal?

    python experiments/benchmarks/live_view.py [--redraws 300]

The view shares its cores with what is measured, so a redraw has to be cheap. Draws the view of a
search with two builders that train, a device, trials of three objectives and a wish, into a
pseudo-terminal. Prints the processor time of a redraw, in the thread that draws, and the share of
one core at the pace of the view; exit code 1 if that is 1 % or more.
"""

import argparse
import io
import os
import pty
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from overhead import SPACE, simulate
from rich.console import Console

from paretune.runners.execute.job import Build, Measure
from paretune.runners.execute.ongoing_stage import OngoingStage, StageFile
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.workload.learning.progress import Epoch
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.wish import Wish
from paretune.search.review.terminal.live_view import REDRAWS_PER_S, LiveView
from paretune.search.review.terminal.phases import Searching
from paretune.search.run.budget import Budget
from paretune.search.run.time_left import TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import SearchSpace

LIMIT = 0.01


def main() -> int:
    """Print the cost at two widths; return 1 if it is too high."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redraws", type=int, default=300)
    redraws = parser.parse_args().redraws
    shares = []
    for width in (80, 160):
        with tempfile.TemporaryDirectory() as folder:
            seconds = redraw_seconds(width, redraws, Path(folder))
        shares.append(float(np.mean(seconds)) * REDRAWS_PER_S)
        print(
            f"{width} columns: a redraw takes {1e3 * np.mean(seconds):.2f} ms of processor time "
            f"(95 of 100 at most {1e3 * np.percentile(seconds, 95):.2f} ms); at "
            f"{REDRAWS_PER_S:g} per second that is {shares[-1]:.2%} of a core"
        )
    return 0 if max(shares) < LIMIT else 1


def redraw_seconds(width: int, count: int, folder: Path) -> list[float]:
    """Return the processor time of each redraw."""
    master, slave = pty.openpty()
    drain = threading.Thread(target=_drain, args=(master,), daemon=True)
    drain.start()
    out = io.TextIOWrapper(os.fdopen(slave, "wb", buffering=0), "utf-8", write_through=True)
    console = Console(file=out, force_terminal=True, width=width, height=40, highlight=False)
    searching = search(folder)
    view = LiveView(console, searching.lines)
    view.show()
    spent = []
    for _ in range(count):
        before = time.thread_time()
        view.redraw()
        spent.append(time.thread_time() - before)
    view.hide()
    return spent


def search(folder: Path) -> Searching:
    """Return a search with two builders at work and a device."""
    space = SearchSpace.from_values(SPACE)
    history = History(default_objectives("accuracy"), wish=Wish(max_quality_drop=0.01))
    candidates = [space.baseline, *(c for c in space.informative() if c != space.baseline)][:12]
    for number, candidate in enumerate(candidates):
        history.add(simulate(number, candidate))
    files = [StageFile(folder / f"{number}.stage") for number in (20, 21)]
    for number, file in zip((20, 21), files, strict=True):
        epoch = Epoch(7, 30, 0.3127, 130.0, 0.91)
        file.write(OngoingStage("distill", "medium", f"trial {number}", epoch))

    def stages() -> list[OngoingStage]:
        return [stage for stage in (file.read() for file in files) if stage is not None]

    found = Searching(space, history, Budget(1000, 8.0), stages)
    last = candidates[-1]
    jobs = [Build(last.build, occasion=f"trial {number}") for number in (20, 21)]
    measure = Measure("", last.run, StoredSamples("validation", ()), occasion="trial 19")
    work = [Work(20 + place, last, job, "build") for place, job in enumerate(jobs)]
    found.working([*work, Work(19, last, measure, "device:cpu")], TimeLeft(5000.0, 600.0))
    return found


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 65536):
            pass
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
