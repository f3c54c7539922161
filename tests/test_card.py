"""On a real NVIDIA card: what the driver's library says agrees with what CUDA does.

Skipped where torch finds no card. `tests/test_simulated_card.py` shows on any machine what no
healthy card would do.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paretune.runners import gpu
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import undisturbed
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched.card import CardCounters
from paretune.runners.runtimes.lease import lease, lease_names, lease_path
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch finds no CUDA card here"
)

SIZE = 4096
MEGABYTES = 512


@pytest.fixture
def counters() -> CardCounters:
    card = gpu.launch_card("gpu:0")
    assert card is not None
    return CardCounters(**card)


@pytest.fixture
def work() -> Callable[[int], None]:
    """A multiplication on card 0, finished when it returns."""
    matrix = torch.ones(SIZE, SIZE, device="cuda:0", dtype=torch.bfloat16)

    def multiply(turn: int) -> None:
        torch.matmul(matrix, matrix)
        torch.cuda.synchronize(0)

    multiply(0)
    return multiply


def uuids_of_torch(**environment: str) -> list[str]:
    """Return the UUIDs of CUDA's devices in a fresh process, in its order."""
    code = (
        "import torch\n"
        "for i in range(torch.cuda.device_count()):\n"
        "    print(torch.cuda.get_device_properties(i).uuid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | environment,
    )
    return [f"GPU-{line.removeprefix('GPU-')}" for line in done.stdout.split()]


def test_cards_are_those_of_cuda_in_its_order() -> None:
    found = {device: card for device, card in gpu.cards().items() if not card.is_slice}
    if not found:
        pytest.skip("this process sees a slice of a card, whose UUID torch does not tell")
    assert [card.uuid for card in found.values()] == uuids_of_torch()
    first = found["gpu:0"]
    properties = torch.cuda.get_device_properties(0)
    assert first.name == properties.name
    assert first.compute_capability == f"{properties.major}.{properties.minor}"
    assert first.memory_bytes == pytest.approx(properties.total_memory, rel=0.05)


def test_a_card_named_by_its_uuid_is_the_same_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own = gpu.uuid("gpu:0")
    assert own is not None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", own)
    assert list(gpu.cards()) == ["gpu:0"] and gpu.uuid("gpu:0") == own
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu.cards() == {} and uuids_of_torch() == []


def test_a_lease_is_named_by_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARETUNE_LEASES", str(tmp_path))
    own = gpu.uuid("gpu:0")
    assert own is not None and lease_names("gpu:0") == (own, "cpu")
    assert own in lease_path(own).name


def test_counters_see_the_work(counters: CardCounters, work: Callable[[int], None]) -> None:
    counters.begin()
    energy_mj = counters.energy_mj_per_call(work, 0)
    counters.end()
    state = counters.state()
    assert state["uuid"] == gpu.uuid("gpu:0")
    assert state["sm_clock_mhz"] > 100 and 0 < state["temperature_c"] < 110, state
    assert state["other_processes"] == 0, state
    if not state["uuid"].startswith("MIG"):
        assert energy_mj is not None and energy_mj > 0
    print(state, f"{energy_mj} mJ per call")


def test_memory_that_a_process_takes_is_seen(counters: CardCounters) -> None:
    counters.look()
    before = counters.state()["memory_bytes"]
    taken = torch.empty(MEGABYTES << 20, dtype=torch.uint8, device="cuda:0")
    torch.cuda.synchronize(0)
    counters.look()
    after = counters.state()["memory_bytes"]
    del taken
    torch.cuda.empty_cache()
    assert before is not None and after is not None
    assert after - before >= 0.9 * (MEGABYTES << 20), (before, after)


def test_when_only_we_run_there_nobody_else_is_seen(work: Callable[[int], None]) -> None:
    work(0)
    assert gpu.foreign_processes("gpu:0") == []


def test_a_launch_on_a_card_says_how_the_card_was(tmp_path: Path) -> None:
    layer = torch.nn.Linear(SIZE, SIZE).eval()
    program = torch.export.export(layer.cuda(), (torch.ones(8, SIZE, device="cuda"),))
    torch.export.save(program, tmp_path / "model.pt2")
    np.save(tmp_path / "inputs.npy", np.ones((8, SIZE), np.float32))
    run = RunSpec("pytorch", "eager-cuda", 8, 1)
    with lease("gpu:0") as held:
        launch = (
            RUNTIMES.get("pytorch")
            .make_runner()
            .launch(
                tmp_path / "model.pt2",
                run,
                Samples([tmp_path / "inputs.npy"]),
                tmp_path,
                MeasurementSettings(),
                held,
            )
        )
    assert isinstance(launch, Launch), launch
    assert launch.card is not None and launch.card.uuid == gpu.uuid("gpu:0")
    print(launch.card, launch.energy_mj, launch.cpu_share, launch.waited_share)
    found = summarize([launch], 8)
    # The weights alone, and a context besides.
    assert found["device_memory_bytes"].value > 4 * SIZE * SIZE
    assert found["sm_clock_mhz"].value > 100 and found["latency_p50_ms"].value > 0
    assert launch.card.uuid.startswith("MIG") or found["energy_mj"].value > 0
    assert undisturbed([launch], run, "gpu:0") == [launch], launch
