"""How far a training is, told while it goes on."""

import threading
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from conftest import IRIS
from rich.console import Console

from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.execute.job import Train
from paretune.runners.execute.ongoing_stage import OngoingStage, OngoingTraining, StageFile
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.workload.learning.progress import Epoch
from paretune.search.record.tracking import NoTracking
from paretune.search.review.terminal.plain_reporter import PlainReporter
from paretune.search.run.news import TrainingNews
from paretune.search.run.reporter import Reporter
from paretune.spaces import BuildSpec, Quantization

HALF = OngoingTraining("distill", "half", Epoch(3, 30, 0.41237, 130.0, 0.9))
NEXT = OngoingTraining("distill", "half", Epoch(4, 30, 0.4, None, None))
STAGES = [OngoingStage("distill", "half", "trial 7", each.epoch) for each in (HALF, NEXT)]
EXPORT = OngoingStage("export", "half", "trial 7")


def test_the_file_is_there_while_a_stage_runs(tmp_path: Path) -> None:
    file = StageFile(tmp_path / "a.stage")
    assert file.read() is None
    for each in (*STAGES, EXPORT):
        file.write(each)
        assert file.read() == each
    file.remove()
    file.remove()
    assert file.read() is None


def test_in_words() -> None:
    assert HALF.words == "training half (distill): epoch 3/30, loss 0.4124, quality 0.9, 2:10 left"
    assert NEXT.words == "training half (distill): epoch 4/30, loss 0.4"


class Heard(Reporter, NoTracking):
    def __init__(self) -> None:
        self.told: list[OngoingTraining] = []
        self.logged: list[OngoingTraining] = []

    def training(self, trainings) -> None:  # type: ignore[no-untyped-def]
        self.told += trainings

    def log_training(self, trainings) -> None:  # type: ignore[no-untyped-def]
        self.logged += trainings


def test_each_epoch_is_told_once() -> None:
    half, following = STAGES
    heard, now = Heard(), [[half], [half], [], [EXPORT], [EXPORT, following]]
    news = TrainingNews(lambda: now.pop(0), heard, heard)
    for _ in range(5):
        news()
    assert heard.told == heard.logged == [HALF, NEXT]


def test_in_a_pipe_a_line_is_printed_now_and_then() -> None:
    out = StringIO()
    reporter = PlainReporter(Console(file=out, width=200))
    reporter._told_at -= 60
    for each in (HALF, NEXT):
        reporter.training([each])
    assert out.getvalue() == f"    {HALF.words}\n"


WAITING = """
import time
from pathlib import Path
from iris_workload import Iris
from paretune import Epoch, report_epoch
class Waiting(Iris):
    def train(self, model, data, *, epochs, peak_learning_rate, seed):
        report_epoch(Epoch(1, epochs, 0.5))
        while not Path(GO).exists():
            time.sleep(0.02)
"""


@pytest.mark.slow
def test_a_study_sees_the_epochs_of_its_workers(tmp_path: Path) -> None:
    """Also those that a training loop of one's own reports."""
    text = WAITING.replace("GO", repr(str(tmp_path / "go")))
    (tmp_path / "iris_workload.py").write_text(IRIS.read_text("utf-8"), "utf-8")
    (tmp_path / "waiting.py").write_text(text, "utf-8")
    settings = WorkerSettings(
        "waiting.py:Waiting", tmp_path, tmp_path / "store", tmp_path / "log.txt", timeout_s=100
    )
    spec = BuildSpec("small", 0.0, Quantization.FP32)
    seen: list[OngoingStage] = []
    with BuildWorker(settings) as worker:
        assert worker.stage() is None

        def watch() -> None:
            while not seen:
                found = worker.stage()
                if found is not None and found.epoch is not None:
                    worker.suspend()
                    seen.extend([found, replace(worker.stage() or found, stage="suspended")])
                    worker.resume()
                    (tmp_path / "go").touch()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        worker.perform(Train(spec, "distill-short", occasion="trial 3"))
        assert worker.stage() is None
    assert seen[0] == OngoingStage("reference", "small", "trial 3", Epoch(1, 20, 0.5))
    assert seen[1] == replace(seen[0], stage="suspended", is_suspended=True)
