"""Which cores a launch gets, and how much of their time, from what the system tells."""

import os
from pathlib import Path

import pytest

from paretune.runners import control_groups, cores, environment
from paretune.runners.cores import available_cores, best_cores, limits_in_words, quota


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's files, of which there are none yet, and eight cores."""
    monkeypatch.setattr(cores, "_SYSTEM", tmp_path / "devices")
    monkeypatch.setattr(control_groups, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")


def test_of_equal_cores_the_last_ones_are_taken(system: Path) -> None:
    assert best_cores(1) == [7]
    assert best_cores(3) == [5, 6, 7]
    assert best_cores(64) == list(range(8))


def test_two_threads_of_one_core_are_taken_last(system: Path) -> None:
    for core in range(8):  # 0 and 1 are one core, 2 and 3 another, …
        first = core - core % 2
        name = f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"
        write(system, {name: f"{first}-{first + 1}"})
    assert best_cores(2) == [5, 7]
    assert best_cores(4) == [1, 3, 5, 7]
    assert best_cores(5) == [1, 3, 5, 6, 7]


def test_a_hybrid_processors_slow_cores_come_after_its_fast_ones(system: Path) -> None:
    # As Intel's 12th generation: two cores of two threads each, then four slow ones.
    write(system, {"devices/cpu_core/cpus": "0-3", "devices/cpu_atom/cpus": "4-7"})
    for core in range(4):
        first = core - core % 2
        name = f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"
        write(system, {name: f"{first},{first + 1}"})
    assert best_cores(1) == [3]
    assert best_cores(2) == [1, 3]
    assert best_cores(3) == [1, 3, 7]


def test_capacities_tell_fast_cores_from_slow_ones(system: Path) -> None:
    sizes = [446] * 4 + [871] * 2 + [1024, 1000]  # as on many phones' processors
    for core, size in enumerate(sizes):
        write(system, {f"devices/system/cpu/cpu{core}/cpu_capacity": str(size)})
    assert best_cores(1) == [7]  # nearly as fast as 6, and later
    assert best_cores(4) == [4, 5, 6, 7]


def test_without_a_quota_all_cores_are_available(system: Path) -> None:
    write(system, {"membership": "0::/user.slice", "cgroup/user.slice/cpu.max": "max 100000"})
    assert quota() is None and available_cores() == 8
    assert limits_in_words(8) == ""
    assert "9 threads share 8 cores" in limits_in_words(9)


def test_the_tightest_quota_above_this_process_counts(system: Path) -> None:
    write(
        system,
        {
            "membership": "0::/kube/pod/box",
            "cgroup/kube/pod/box/cpu.max": "max 100000",
            "cgroup/kube/pod/cpu.max": "250000 100000",
            "cgroup/kube/cpu.max": "600000 100000",
        },
    )
    assert quota() == 2.5 and available_cores() == 2
    assert limits_in_words(2) == "" and "2.5 cores' time, and it is to use 3" in limits_in_words(3)
    counters = cores.throttle_counters()
    assert counters == [system / "cgroup/kube/pod/cpu.stat", system / "cgroup/kube/cpu.stat"]


def test_a_quota_of_half_a_core_leaves_one_thread_and_a_word(system: Path) -> None:
    """Version 1 of control groups, in a container: the group's name is the host's."""
    write(
        system,
        {
            "membership": "4:memory:/docker/0a1b\n2:cpu,cpuacct:/docker/0a1b",
            "cgroup/cpu/cpu.cfs_quota_us": "50000",
            "cgroup/cpu/cpu.cfs_period_us": "100000",
            "cgroup/memory/memory.limit_in_bytes": str(2**20),
        },
    )
    assert quota() == 0.5 and available_cores() == 1
    assert "0.5 cores' time" in limits_in_words(1)
    assert environment.memory_bytes() == 2**20
    assert environment.fingerprint.__wrapped__()["cpu_quota"] == "0.5"
