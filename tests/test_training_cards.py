"""Training on cards: which worker trains where, and when a card is free for a measurement.

The cards are simulated: nothing here runs on one.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import SMALL_SPACE

from paretune.runners import gpu
from paretune.runners.cores import available_cores
from paretune.runners.execute import training_cards as cards_file
from paretune.runners.execute import worker_jobs
from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import BUILD
from paretune.runners.execute.job import Measure
from paretune.runners.execute.local_executor import LocalExecutor
from paretune.runners.execute.training_cards import training_cards
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.launched.openvino_model import is_device
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.configure.schema import StudyConfig
from paretune.search.study.build_workers import default_workers
from paretune.spaces import RunSpec

TWO = {"gpu:0": "GPU-a", "gpu:1": "MIG-b"}


def card(uuid: str) -> gpu.Card:
    return gpu.Card(uuid, "A Card", "580.1", 80 * 2**30, "9.0", uuid.startswith("MIG"))


def test_torch_trains_on_cards_if_it_was_built_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "cards", lambda: {"gpu:0": card("GPU-a"), "gpu:1": card("MIG-b")})
    import torch

    assert bool(training_cards()) is (torch.version.cuda is not None)
    monkeypatch.setattr(cards_file, "_torch_has_cuda", lambda: True)
    assert training_cards() == TWO


def config(**space: list[Any]) -> StudyConfig:
    values = {**SMALL_SPACE, "student": ["reference"], "pruning_ratio": [0.0], **space}
    return StudyConfig.model_validate({"name": "a", "workload": "w.py:W", "space": values})


def test_one_worker_per_card_where_models_are_trained() -> None:
    by_cores = max(1, min(8, available_cores() // 2))
    for training in (
        config(student=["reference", "small"]),
        config(pruning_ratio=[0.0, 0.5]),
        config(quantization=["fp32", "int8-qat"]),
    ):
        assert default_workers(training, 2) == 2
        assert default_workers(training, 0) == by_cores
    assert default_workers(config(), 2) == by_cores


def settings(folder: Path) -> WorkerSettings:
    return WorkerSettings("w.py:W", folder, folder / "store", folder / "build.log")


def test_workers_take_the_cards_in_turn(tmp_path: Path) -> None:
    with BuildPool(settings(tmp_path), 3, TWO) as pool:
        assert [worker.settings.card for worker in pool._builders] == ["GPU-a", "MIG-b", "GPU-a"]
        assert pool.service.settings.card == "GPU-a"
        assert not pool.builds_on("gpu:0")
        pool._busy.add(pool._builders[1])
        assert pool.builds_on("gpu:1")
        assert not pool.builds_on("gpu:0") and not pool.builds_on("cpu")
    with BuildPool(settings(tmp_path), 1, TWO) as pool:
        assert pool.service.settings.card == "GPU-a"
    with BuildPool(settings(tmp_path), 2) as pool:
        assert [worker.settings.card for worker in pool._builders] == [None, None]


def test_a_worker_sees_its_own_card_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    for name in ("die_with_parent", "switch_off_telemetry", "limit_memory"):
        monkeypatch.setattr(worker_jobs, name, lambda *given: None)
    monkeypatch.setattr(worker_jobs.signal, "signal", lambda *given: None)
    monkeypatch.setattr(worker_jobs, "_State", type("State", (), {}))
    worker_jobs.start(settings(tmp_path), None, 1)
    assert worker_jobs.os.environ["CUDA_VISIBLE_DEVICES"] == "5,6"
    card = WorkerSettings("w.py:W", tmp_path, tmp_path, tmp_path / "log", card="GPU-a")
    worker_jobs.start(card, None, 1)
    assert worker_jobs.os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-a"


class Pool:
    """A simulated pool: a build on ``gpu:0`` ends when it is waited for."""

    size = 2

    def __init__(self) -> None:
        self.waited = 0
        self.ends_at = 1

    def builds_on(self, device: str) -> bool:
        return device == "gpu:0" and self.waited < self.ends_at

    def wait(self, timeout_s: float | None = None) -> None:
        self.waited += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield


def test_a_measurement_on_a_card_waits_until_no_build_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = SimpleNamespace(
        device=lambda run: "gpu:0" if "cuda" in run.execution_provider else "cpu"
    )
    store = ArtifactStore(tmp_path)
    evaluator: Any = SimpleNamespace(store=store, runners={"pytorch": runner})
    pool: Any = Pool()
    executor = LocalExecutor(pool, evaluator)
    monkeypatch.setattr(executor, "_measure", lambda job: job.run.execution_provider)
    assert executor.capacity(BUILD) == 2

    def submit(provider: str) -> Future[Any]:
        run = RunSpec("pytorch", provider, 1, 1)
        place = f"device:{runner.device(run)}"
        samples = StoredSamples("validation", ())
        return executor.submit(Measure("a", run, samples, occasion=provider), place)

    on_card, on_cores = submit("eager-cuda"), submit("eager-cpu")
    executor.wait()
    assert on_cores.done() and not on_card.done()  # the cores are free: builds are suspended
    pool.ends_at = 2
    executor.wait(0.0)
    assert pool.waited == 1 and not on_card.done()
    executor.wait()
    # In the same call as the build's end: the next build would take the card again.
    assert pool.waited == 2 and on_card.result().value == "eager-cuda"


@pytest.mark.parametrize(
    ("executed_on", "asked_for", "same"),
    [
        ("CPU", "CPU", True),
        ("OCL_GPU.0", "GPU", True),
        ("OCL_GPU.0", "GPU.0", True),
        ("GPU.0", "GPU", True),
        ("OCL_GPU.1", "GPU.1", True),
        ("OCL_GPU.1", "GPU", False),
        ("CPU", "GPU", False),
        ("OCL_GPU.0,CPU", "GPU", False),
        ("NPU", "NPU", True),
    ],
)
def test_openvino_names_graphics_cards_by_their_driver(
    executed_on: str, asked_for: str, same: bool
) -> None:
    assert is_device(executed_on, asked_for) is same
