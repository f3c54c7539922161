"""A SIMULATED card: what goes wrong on one, and how it ends, through the real ProcessRunner.

Nothing here computes on a card. `tests/simulated_card/` plays the driver's library and a runtime;
the launched processes, their deadline, the lease and the protocol are the real ones.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import TESTS

from paretune.runners import environment, gpu
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import Timing, time_model, undisturbed
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import lease, lease_names
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

FOLDER = TESTS / "simulated_card"
PROVIDER = "SimulatedCUDA"
RUN = RunSpec("simulated", PROVIDER, 2, 1)
QUICK = MeasurementSettings(
    launches=2,
    max_launches=2,
    extra_launches=0,
    warmup_seconds=0.01,
    min_seconds=0.01,
    idle_wait_s=0.0,
    timeout_s=60.0,
)


@pytest.fixture(autouse=True)
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A simulated driver with one card, and the simulated runtime."""
    import importlib.util

    monkeypatch.setenv("SIMULATED_CARD", str(tmp_path / "card.json"))
    monkeypatch.setenv("PARETUNE_LEASES", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    spec = importlib.util.spec_from_file_location("pynvml", FOLDER / "pynvml.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    # As on the machine itself, whether these tests run in a container or not.
    monkeypatch.setattr(gpu, "_sees_drivers_numbers", lambda: True)
    environment.fingerprint.cache_clear()
    with RUNTIMES.restored():
        runpy.run_path(str(FOLDER / "extensions.py"))
        yield module
    environment.fingerprint.cache_clear()


def runner(plays: str = "", timeout_s: float = 60.0) -> ProcessRunner:
    made = RUNTIMES.get("simulated").make_runner(
        provider_options={PROVIDER: {"plays": plays} if plays else {}}
    )
    made.timeout_s = timeout_s
    return made


def samples(folder: Path) -> Samples:
    np.save(folder / "inputs.npy", np.ones((8, 4), np.float32))
    return Samples([folder / "inputs.npy"])


def launched(folder: Path, plays: str = "", **settings: Any) -> Launch | Failure:
    with lease("gpu:0") as held:
        return runner(plays).launch(
            folder / "any.onnx", RUN, samples(folder), folder, replace(QUICK, **settings), held
        )


def failed(folder: Path, plays: str, **settings: Any) -> Failure:
    end = launched(folder, plays, **settings)
    assert isinstance(end, Failure), end
    return end


def test_a_launch_records_what_the_card_said(tmp_path: Path) -> None:
    launch = launched(tmp_path)
    assert isinstance(launch, Launch), launch
    assert launch.card is not None
    assert launch.card.uuid == "GPU-aaaa-1"
    assert launch.card.memory_bytes == 900_000_000  # the process's own, by its number
    assert (launch.card.sm_clock_mhz, launch.card.temperature_c) == (1980, 40)
    assert launch.card.throttled == launch.card.limited == ()
    assert launch.energy_mj == pytest.approx(30)
    statistics = summarize([launch], 2)
    assert statistics["device_memory_bytes"].value == 900_000_000
    assert statistics["sm_clock_mhz"].value == 1980 and statistics["temperature_c"].value == 40


def test_in_a_container_memory_is_what_the_card_gave_away_since(tmp_path: Path) -> None:
    launch = launched(tmp_path, "container")
    assert isinstance(launch, Launch) and launch.card is not None
    assert launch.card.memory_bytes == 1_000_000_000 and launch.card.other_processes == 0


def test_a_fall_back_in_the_middle_is_a_failure_with_the_nodes_name(tmp_path: Path) -> None:
    failure = failed(tmp_path, "fall_back")
    assert failure.kind is FailureKind.UNSUPPORTED
    assert "unique_3 (Unique)" in failure.message and PROVIDER in failure.message


def test_a_node_on_the_processor_is_a_failure_with_the_nodes_name(tmp_path: Path) -> None:
    failure = runner("host_node").predict(
        tmp_path / "any.onnx", RUN, samples(tmp_path), tmp_path, QUICK
    )
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "unique_3 (Unique, SimulatedCPU)" in failure.message


def test_too_little_memory_on_the_card_is_out_of_memory(tmp_path: Path) -> None:
    failure = failed(tmp_path, "out_of_memory")
    assert failure.kind is FailureKind.OUT_OF_MEMORY and "cudaMalloc" in failure.message


def test_an_engine_that_is_never_built_ends_at_the_deadline(tmp_path: Path) -> None:
    failure = failed(tmp_path, "hang", timeout_s=3.0)
    assert failure.kind is FailureKind.TIMEOUT and "measurement.timeout_s" in failure.message
    left = [p for p in psutil.Process().children() if "launched" in " ".join(p.cmdline())]
    assert not left


def test_a_lost_device_is_a_crash_that_says_so(tmp_path: Path) -> None:
    failure = failed(tmp_path, "lose")
    assert failure.kind is FailureKind.CRASH
    assert "the device was lost" in failure.message and "Xid" in failure.message


def test_each_end_has_its_own_cause(tmp_path: Path) -> None:
    ends = [failed(tmp_path, each) for each in ("fall_back", "out_of_memory", "lose")]
    ends.append(failed(tmp_path, "hang", timeout_s=2.0))
    assert len({end.cause for end in ends}) == len(ends)


@pytest.mark.parametrize("plays", ["throttle", "neighbour"])
def test_a_card_that_throttles_or_is_shared_makes_the_launch_not_count(
    tmp_path: Path, card: ModuleType, plays: str
) -> None:
    launch = launched(tmp_path, plays)
    assert isinstance(launch, Launch) and launch.card is not None
    said = launch.card
    if plays == "throttle":
        assert said.throttled == ("hardware slowdown", "software thermal slowdown")
        assert (said.sm_clock_mhz, said.temperature_c) == (1200, 91)
    else:
        assert said.other_processes == 1
    assert launch.is_contaminated(None)
    timing = time_model(runner(plays), tmp_path / "m", RUN, samples(tmp_path), tmp_path, QUICK)
    assert isinstance(timing, Timing)
    assert timing.contaminated == 2 and not timing.is_resolved and len(timing.launches) == 2


def test_a_slow_down_between_two_looks_is_counted_by_the_driver(tmp_path: Path) -> None:
    from paretune.runners.runtimes.launched.card import CardCounters

    pynvml = sys.modules["pynvml"]
    counters = CardCounters("GPU-aaaa-1", str(FOLDER / "pynvml.py"))
    pynvml.change(slowed_ns={"270": 5_000_000_000, "74": 0})
    counters.begin()
    pynvml.change(slowed_ns={"270": 8_000_000_000, "74": 9_000_000_000})
    counters.end()
    assert counters.state()["throttled"] == ["hardware thermal slowdown"]
    assert counters.state()["limited"] == ["power cap"]


def test_a_power_cap_is_recorded_and_counts(tmp_path: Path) -> None:
    launch = launched(tmp_path, "power_cap")
    assert isinstance(launch, Launch) and launch.card is not None
    assert launch.card.limited == ("power cap",) and not launch.card.throttled


def test_a_launch_with_a_lower_clock_than_the_best_does_not_count(tmp_path: Path) -> None:
    launch = launched(tmp_path)
    assert isinstance(launch, Launch) and launch.card is not None
    quiet = replace(launch, canary_ms=1.0, waited_share=0.0)
    slow = replace(quiet, card=replace(launch.card, sm_clock_mhz=1700.0))
    assert undisturbed([quiet, slow], RUN, "gpu:0") == [quiet]


def test_neither_spinning_nor_sleeping_is_a_disturbance_but_waiting_for_a_core_is(
    tmp_path: Path,
) -> None:
    launch = launched(tmp_path)
    assert isinstance(launch, Launch)
    quiet = replace(launch, canary_ms=1.0, waited_share=0.0, involuntary_switches_per_iteration=3.0)
    spins, sleeps = replace(quiet, cpu_share=1.0), replace(quiet, cpu_share=0.05)
    waits = replace(quiet, cpu_share=0.5, waited_share=0.4)
    for device in ("gpu:0", "coreml:0"):
        assert undisturbed([spins, sleeps, waits], RUN, device) == [spins, sleeps]
    assert undisturbed([spins, sleeps], RUN, "cpu") == []


def test_old_launches_load() -> None:
    old = Launch(1.0, 1.0, 1, True, (1.0,), 1.0, 1.0, 0.0, 1, 0.1)
    assert (
        Launch.from_result(
            {"latency_ms": [1.0], "end_to_end": None}
            | {
                name: getattr(old, name)
                for name in (
                    *(
                        "session_creation_ms",
                        "first_inference_ms",
                        "warmup_iterations",
                        "warmup_steady",
                    ),
                    *("cpu_share", "cpu_time_ms", "involuntary_switches_per_iteration"),
                    *("peak_memory_bytes", "canary_ms"),
                )
            }
        )
        == old
    )


def test_what_computes_there_is_foreign_only_while_it_computes(card: ModuleType) -> None:
    other = str(psutil.Process().ppid() and 1)  # a process that is not ours: the machine's first
    if psutil.Process().ppid() == 1 or 1 in [p.pid for p in psutil.Process().parents()]:
        other = str(max(psutil.pids()) + 1)
    card.change(processes={other: 10, str(os.getpid()): 10}, utilization=0)
    assert gpu.foreign_processes("gpu:0") == [int(other)]
    assert not gpu.is_busy("gpu:0")
    card.change(utilization=70)
    assert gpu.is_busy("gpu:0")
    card.change(processes={str(os.getpid()): 10})
    assert not gpu.is_busy("gpu:0"), "the driver's sample is of before: nobody is there"
    assert not gpu.is_busy("cpu") and not gpu.is_busy("gpu:7")


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


def test_what_a_driver_does_not_know_is_none(card: ModuleType) -> None:
    from paretune.runners.runtimes.launched.card import CardCounters

    card.change(
        memory=None,
        processes=None,
        process_utilization=None,
        clock=None,
        temperature=None,
        reasons=None,
        energy=None,
        slowed_ns=None,
        utilization=None,
    )
    counters = CardCounters("GPU-aaaa-1", str(FOLDER / "pynvml.py"))
    counters.begin()
    counters.end()
    state = counters.state()
    assert state["memory_bytes"] is state["sm_clock_mhz"] is state["temperature_c"] is None
    assert state["throttled"] == [] and state["other_processes"] == 0
    assert counters.energy_mj_per_call(lambda turn: None, 1) is None
    assert not gpu.is_busy("gpu:0")


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
