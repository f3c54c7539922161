"""Which card is which, who uses it, and who holds it: with a SIMULATED driver's library."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from simulated_card.fixtures import simulated_card

from paretune.runners import environment, gpu
from paretune.runners.runtimes import devices
from paretune.runners.runtimes.lease import lease_names
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.spaces import RunSpec

NOWHERE = 2**30  # more than Linux ever gives


@pytest.fixture(autouse=True)
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with simulated_card(tmp_path, monkeypatch) as module:
        yield module


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is neither ours nor above us."""
    code = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3, stderr=-3).pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    process = psutil.Process(int(done.stdout))
    yield process.pid
    process.kill()


def test_what_computes_there_is_foreign_only_while_it_computes(
    card: ModuleType, stranger: int
) -> None:
    card.change(processes={stranger: 10, os.getpid(): 10}, utilization=0)
    assert gpu.foreign_processes("gpu:0") == [stranger]
    assert not gpu.is_busy("gpu:0")
    card.change(utilization=70)
    assert gpu.is_busy("gpu:0")
    card.change(processes={os.getpid(): 10})
    assert not gpu.is_busy("gpu:0"), "the driver's sample is of before: nobody is there"
    assert not gpu.is_busy("cpu") and not gpu.is_busy("gpu:7")
    card.change(processes={stranger: 10, NOWHERE: 10}, utilization=0)
    assert gpu.foreign_processes("gpu:0") == [], "the numbers are those of another namespace"


def test_in_a_container_utilization_alone_decides(
    card: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_sees_drivers_numbers", lambda: False)
    card.change(processes={"70001": 10}, utilization=0)  # our own launch, by the host's number
    assert gpu.foreign_processes("gpu:0") == [] and not gpu.is_busy("gpu:0")
    card.change(utilization=70)
    assert gpu.is_busy("gpu:0")


TWO = [{"uuid": "GPU-aaaa-1", "slices": []}, {"uuid": "GPU-bbbb-2", "slices": []}]
SLICED = [
    {"uuid": "GPU-aaaa-1", "slices": ["MIG-1111", "MIG-2222"]},
    {"uuid": "GPU-bbbb-2", "slices": []},
]


@pytest.mark.parametrize(
    ("cards", "setting", "seen"),
    [
        (TWO, None, ["GPU-aaaa-1", "GPU-bbbb-2"]),
        (TWO, "1,0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        (TWO, "GPU-bb", ["GPU-bbbb-2"]),
        (TWO, " GPU-bbbb-2 , 0", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        (TWO, "1,7,0", ["GPU-bbbb-2"]),
        (TWO, "", []),
        (TWO, "-1", []),
        (TWO, "0,0", []),
        (TWO, "GPU-", []),
        (SLICED, None, ["MIG-1111"]),
        (SLICED, "1", ["GPU-bbbb-2"]),
        (SLICED, "0", ["MIG-1111"]),
        (SLICED, "MIG-2222,MIG-1111", ["MIG-2222"]),
        (SLICED, "GPU-aaaa-1", ["MIG-1111"]),
        ([{"uuid": "GPU-aaaa-1", "slices": [], "mig": True}], None, []),
        ([{"uuid": "GPU-aaaa-1", "slices": [], "forbidden": True}, TWO[1]], None, ["GPU-bbbb-2"]),
    ],
)
def test_cards_are_counted_as_cuda_counts_them(
    card: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    cards: list[Any],
    setting: str | None,
    seen: list[str],
) -> None:
    card.change(cards=cards)
    if setting is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert [each.uuid for each in gpu.cards().values()] == seen
    assert list(gpu.cards()) == [f"gpu:{index}" for index in range(len(seen))]
    assert [gpu.uuid(device) for device in gpu.cards()] == seen


def test_two_processes_that_count_differently_share_a_cards_lease(
    card: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.change(cards=TWO)
    assert lease_names("gpu:1") == ("GPU-bbbb-2", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert lease_names("gpu:0") == ("GPU-bbbb-2", "cpu")
    assert lease_names("gpu:5") == ("gpu:5", "cpu"), "a card that is not there"
    assert lease_names("cpu") == ("cpu",) and lease_names("qnn:0") == ("qnn:0", "cpu")


def test_a_slice_has_no_energy_of_its_own(card: ModuleType) -> None:
    assert gpu.energy_mj("gpu:0") == 1_000_000
    card.change(cards=SLICED)
    assert gpu.energy_mj("gpu:0") is None
    assert gpu.cards()["gpu:0"].is_slice and gpu.cards()["gpu:0"].compute_capability == "9.0"


def test_launches_and_build_workers_count_cards_by_the_bus(tmp_path: Path) -> None:
    from paretune.runners.runtimes.launched.card import order_cards_by_bus

    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from launched.card import order_cards_by_bus\n"
        "order_cards_by_bus(); print(os.environ['CUDA_DEVICE_ORDER'])"
    )
    room = Path(sys.modules[order_cards_by_bus.__module__].__file__ or "").parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(room)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "PCI_BUS_ID"


def test_the_fingerprint_names_the_card_and_not_which_of_two_alike(card: ModuleType) -> None:
    assert environment.fingerprint()["gpu:0"] == "Simulated card, driver 0.0 (simulated)"
    assert json.dumps(environment.fingerprint())


def test_every_provider_has_a_device_and_only_the_processors_share_one() -> None:
    def device(provider: str, **options: str) -> str:
        runner = OnnxRuntimeRunner(provider_options={provider: options})
        return runner.device(RunSpec("onnxruntime", provider, 1, 1))

    assert device("CUDAExecutionProvider", device_id="1") == "gpu:1"
    assert device("TensorrtExecutionProvider") == "gpu:0"
    assert device("OpenVINOExecutionProvider", device_type="CPU") == "cpu"
    assert device("OpenVINOExecutionProvider", device_type="GPU.0") == "openvino:gpu"
    assert device("XnnpackExecutionProvider") == device("CPUExecutionProvider") == "cpu"
    others = ("QNN", "CoreML", "Dml", "MIGraphX", "WebGpu", "VitisAI", "CANN", "Nnapi")
    found = {device(f"{name}ExecutionProvider") for name in others}
    assert len(found) == len(others) and not any(map(gpu.is_card, found)) and "cpu" not in found


def test_a_provider_is_tried_on_every_card(card: ModuleType, tmp_path: Path) -> None:
    card.change(cards=TWO)
    found = list(devices._providers(RUNTIMES.get("simulated").make_runner(), tmp_path, slow=False))
    names = [each.execution_provider for each in found]
    assert names == ["SimulatedCUDA on gpu:0", "SimulatedCUDA on gpu:1"]
    assert all(each.works for each in found), found
    line = "gpu:1: Simulated card, 80 GiB, compute capability 9.0, driver 0.0 (simulated), GPU-bbbb"
    assert line in devices.machine()


def test_a_missing_library_is_named_with_what_has_it() -> None:
    text = (
        "Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: "
        "cannot open shared object file: No such file or directory"
    )
    said = devices._missing_libraries(text, OnnxRuntimeRunner(), "CUDAExecutionProvider")
    assert "Missing: libcudnn.so.9 (nvidia-cudnn-cu13)" in said
    assert "requirements: ['onnxruntime-gpu[cuda,cudnn]==1.31.1', 'numpy']" in said
    assert devices._missing_libraries("all is well", OnnxRuntimeRunner(), "CUDA") == ""
