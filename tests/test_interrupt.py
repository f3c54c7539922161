"""Ctrl-C and SIGTERM, at every stage: a frontier, no process left behind, and a clean resume."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import QUICK_CONFIRMATION, start_paretune, wait_until, write_study

import paretune
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.study.open_study import load_history

Moment = Callable[["subprocess.Popen[str]", Path], bool]


def stage(name: str) -> Moment:
    """Tell when a stage is running."""

    def is_running(process: "subprocess.Popen[str]", study: Path) -> bool:
        events = ArtifactStore(study.parent / "results" / "store").executions()
        return bool(events) and events[-1]["event"] == "started" and events[-1]["stage"] == name

    return is_running


def measuring(process: "subprocess.Popen[str]", study: Path) -> bool:
    """Tell when a launch is running."""
    for child in psutil.Process(process.pid).children():
        try:
            if any("launched" in word for word in child.cmdline()):
                return True
        except psutil.Error:
            continue
    return False


def confirming(process: "subprocess.Popen[str]", study: Path) -> bool:
    """Tell when the third round of confirmation has begun: after two there is a result."""
    return "round 3:" in (study.parent / "printed").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (stage("distill"), signal.SIGINT),
        (stage("quantize"), signal.SIGINT),
        (measuring, signal.SIGINT),
        (measuring, signal.SIGTERM),
        (confirming, signal.SIGINT),
        (confirming, signal.SIGTERM),
    ],
)
def test_an_interrupted_search_ends_with_a_frontier(
    tmp_path: Path, moment: Moment, number: signal.Signals
) -> None:
    longer = QUICK_CONFIRMATION | {"launches": 4, "max_launches": 4}
    study = write_study(tmp_path, confirmation=longer)
    with (tmp_path / "printed").open("w") as printed:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "paretune", "search", str(study)],
            stdout=printed,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

        def has_come() -> bool:
            assert process.poll() is None, "it ended before the moment came"
            return _has_measured(study) and moment(process, study)

        wait_until(has_come, 240)
        family = psutil.Process(process.pid).children(recursive=True)
        sent = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to every process of the group
        else:
            process.terminate()
        _, errors = process.communicate(timeout=60)
    print(f"{getattr(moment, '__name__', moment)}: ended in {time.monotonic() - sent:.1f} s")
    out = (tmp_path / "printed").read_text("utf-8")
    assert process.returncode == 128 + number, errors
    assert "interrupted; the same command continues" in out and "frontier: " in out
    # What was confirmed until then is published.
    assert ("published frontier: " in out) == (moment is confirming)
    assert "Traceback" not in out + errors
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    done = start_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(load_history(study).records) == 10
    assert [check.problems for check in paretune.doctor(study) if check.problems] == []


def _has_measured(study: Path) -> bool:
    return "→" in (study.parent / "printed").read_text("utf-8")
