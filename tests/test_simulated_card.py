"""A SIMULATED card: what goes wrong on one, and how it ends, through the real ProcessRunner.

Nothing here computes on a card. `tests/simulated_card/` plays the driver's library and a runtime;
the launched processes, their deadline, the lease and the protocol are the real ones.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest
from simulated_card.fixtures import FOLDER, simulated_card

from paretune.runners import gpu
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.protocol import Timing, time_model, undisturbed
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import RunSpec

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
    with simulated_card(tmp_path, monkeypatch) as module:
        yield module


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
