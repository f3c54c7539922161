"""A fleet: what is missing is said, and a host that dies loses nothing."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import IRIS, QUICK_CONFIRMATION, TINY_SPACE, run_paretune, wait_until, write_study

import paretune
from paretune.runners.build.built import Built
from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import BUILD
from paretune.runners.execute.job import Build, Missing
from paretune.runners.execute.local_executor import LocalExecutor, what_builds_depend_on
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.dask_executor import DaskExecutor
from paretune.runners.fleet.device.evaluator_setup import EvaluatorSetup
from paretune.runners.fleet.fleet import Fleet, connected
from paretune.runners.fleet.fleet_host import FleetHost, as_plugin
from paretune.runners.fleet.stage_events import StagesElsewhere, StagesHere
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.workload.learning.progress import Epoch
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.fleet.devices import device_files, write_device_files
from paretune.search.study.fleet.studies import Studies
from paretune.search.study.open_study import OpenStudy, describe_workload, load_history
from paretune.search.study.parts import study_evaluator
from paretune.spaces import (
    BuildSpec,
    ConfigError,
    Quantization,
    StoreError,
    StudyError,
    WorkloadError,
)

distributed = pytest.importorskip("distributed", reason="the extra `fleet` is not installed")


def assigned(study: Path) -> Assignment:
    """Return an assignment of a study whose builds depend on something else."""
    samples = StoredSamples("validation", ("none",))
    setup = EvaluatorSetup((), {}, "accuracy", "workload", "judging")
    store = str(study.parent / "results" / "store")
    return Assignment(study, MeasurementSettings(), samples, "another", setup, store)


@contextmanager
def scheduler(*slots: str, hosts: int = 1) -> Iterator[str]:
    """Start a scheduler, and in this process hosts that offer slots; return the address."""
    with distributed.LocalCluster(
        n_workers=hosts if slots else 0,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=":0",
        resources=dict.fromkeys(slots, 1),
    ) as cluster:
        yield cluster.scheduler_address


@contextmanager
def host(
    address: str,
    name: str,
    folder: Path,
    *offer: str,
    python: Path | str = sys.executable,
    **environment: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `paretune worker` as a person does, with cores of its own."""
    command = [python, "-m", "paretune", "worker", "--scheduler", address, "--name", name]
    leases = {"PARETUNE_LEASES": str(folder / f"leases of {name}")}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *offer],
            stdout=log,
            stderr=log,
            env=os.environ | leases | environment,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def own_hosts(**hosts: tuple[Mapping[str, int], FleetHost, Mapping[str, Any]]) -> Iterator[str]:
    """Start a scheduler and hosts in this process: for each its slots, itself and its news."""
    spec = {
        name: {
            "cls": distributed.Worker,
            "options": {
                "nthreads": sum(slots.values()) + 1,
                "resources": slots,
                "plugins": (as_plugin(host),),
                "startup_information": {key: lambda _, v=value: v for key, value in told.items()},
                "dashboard": False,
            },
        }
        for name, (slots, host, told) in hosts.items()
    }
    serving = {
        "cls": distributed.Scheduler,
        "options": {"host": "127.0.0.1", "dashboard_address": ":0"},
    }
    with distributed.SpecCluster(scheduler=serving, workers=spec) as cluster:
        yield cluster.scheduler_address


def test_a_scheduler_that_does_not_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paretune.runners.fleet.fleet.CONNECT_S", 1.0)
    study = write_study(tmp_path)
    done = run_paretune("search", study, "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 1 and "no scheduler answers at tcp://127.0.0.1:1" in done.stderr
    assert "start one with `paretune fleet start`" in done.stderr


def test_what_no_host_offers_is_said() -> None:
    nothing = "offers build; on offer: nothing. Start a host: paretune worker"
    with scheduler() as address, pytest.raises(StudyError, match=re.escape(nothing)):
        Fleet(address)
    with scheduler(BUILD, "device:a", "device:b") as address:
        with pytest.raises(StudyError, match="several devices: choose one, --device a"):
            Fleet(address)
        with pytest.raises(StudyError, match="offers device:c; on offer: build, device:a, device"):
            Fleet(address, "c")
        with Fleet(address, "b") as fleet:
            assert fleet.offered() == {BUILD: 1, "device:a": 1, "device:b": 1}
    twice = "2 hosts of the fleet offer device:a"
    with scheduler(BUILD, "device:a", hosts=2) as address, pytest.raises(StudyError, match=twice):
        Fleet(address)


def test_hosts_are_shown() -> None:
    with scheduler("device:jetson", hosts=1) as address:
        done = run_paretune("fleet", "--scheduler", address)
    assert done.returncode == 0, done.stderr
    assert all(each in done.stdout for each in ("device:jetson", "nothing", "now at"))
    with scheduler() as address:
        assert "no hosts yet" in run_paretune("fleet", "--scheduler", address).stdout


def test_a_search_hears_which_stages_run_on_other_hosts(tmp_path: Path) -> None:
    stage = OngoingStage("distill", "small", "trial 7", Epoch(2, 5, 0.25, None, 12.0))
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0"
        ) as cluster,
        connected(cluster.scheduler_address) as client,
    ):
        [worker] = cluster.workers.values()
        here = StagesHere(worker)
        heard, others = (StagesElsewhere(client, tmp_path / name) for name in ("a", "b"))

        def is_heard() -> bool:  # the subscription takes a moment
            here.tell({})
            here.tell({tmp_path / "a": [stage]})
            return list(heard()) == [stage]

        wait_until(is_heard)
        here.tell({})
        wait_until(lambda: heard() == [])
        assert others() == []


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    done = run_paretune("search", write_study(tmp_path), "--device", "jetson")
    assert done.returncode == 2 and "--device needs --scheduler" in done.stderr
    done = run_paretune("worker", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 2 and "give --builds N, --device NAME, or both" in done.stderr


def test_a_host_without_the_study_says_where_it_looked(tmp_path: Path) -> None:
    missing = tmp_path / "study.yaml"
    host, job = FleetHost(Studies("here", 1).executor), Missing(BuildSpec("reference", 0.0, "fp32"))
    with pytest.raises(StoreError, match=f"has no {missing}: the folders of the study"):
        host.perform(assigned(missing), job)


def test_what_several_devices_need_is_said(tmp_path: Path) -> None:
    study = write_study(tmp_path, devices=["left", "right"])
    with pytest.raises(StudyError, match=r"is measured on one device, and .* names left, right"):
        paretune.run(study, scheduler="tcp://127.0.0.1:1")
    for command in ("frontier", "pick"):
        done = run_paretune(command, study, "--for-each-device")
        assert done.returncode == 2 and "was not searched on several devices yet" in done.stderr
    with pytest.raises(ConfigError, match="cannot be part of a file's name"):
        write_device_files(study, ["a/b"])
    files = write_device_files(study, ["left", "right", "left"])
    assert device_files(study) == files and list(files) == ["left", "right"]
    assert OpenStudy(files["left"]).name == "iris-left"
    assert OpenStudy(files["left"]).paths.store == OpenStudy(study).paths.store


@pytest.mark.slow
def test_a_study_is_built_and_measured_by_hosts_and_confirmed(tmp_path: Path) -> None:
    study = write_study(tmp_path, space=TINY_SPACE, confirmation=QUICK_CONFIRMATION)
    with (
        scheduler() as address,
        host(address, "builder", tmp_path, "--builds", "1"),
        host(address, "board", tmp_path, "--device", "board"),
    ):
        client = distributed.Client(address, set_as_default=False)
        client.wait_for_workers(2, 60)
        client.close()
        done = run_paretune("search", study, "--scheduler", address, "--trials", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    history = load_history(study)
    assert len(history.measured) == 5 and history.published
    logs = tmp_path / "results" / "logs"
    judged = {"iris-build-builder", "iris-build-builder-judge"}
    assert {each.stem for each in logs.glob("*.log")} == {*judged, "iris-build"}


@pytest.mark.slow
def test_a_host_refuses_to_build_something_else(tmp_path: Path) -> None:
    other = assigned(write_study(tmp_path))
    refuses = pytest.raises(WorkloadError, match="the host here has another workload")
    with closing(Studies("here", 1)) as studies, refuses:
        studies.executor(other)


@pytest.mark.slow
def test_the_job_of_a_host_that_is_killed_is_done_by_another(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    opened = OpenStudy(study)
    with scheduler() as address, BuildPool(worker_settings(opened)) as pool:
        evaluator = study_evaluator(opened, pool.service, pool.describe())
        with (
            host(address, "first", tmp_path, "--builds", "1", "--device", "board") as first,
            distributed.Client(address, set_as_default=False) as client,
        ):
            client.wait_for_workers(1, 60)
            with Fleet(address) as fleet:
                executor = DaskExecutor(fleet, study, evaluator)
                job = Build(BuildSpec("small", 0.5, Quantization.INT8_STATIC))
                future = executor.submit(job, BUILD)
                log = tmp_path / "results" / "logs" / "iris-build-first.log"
                wait_until(lambda: log.is_file() and "paretune stage" in log.read_text("utf-8"))
                assert not future.done()
                first.send_signal(signal.SIGKILL)
                with host(address, "second", tmp_path, "--builds", "1"):
                    while not future.done():
                        executor.wait(1.0)
    assert isinstance(future.result().value, Built)


@pytest.mark.slow
def test_a_search_whose_scheduler_dies_says_so_and_goes_on_later(tmp_path: Path) -> None:
    study = write_study(tmp_path, space=TINY_SPACE)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    for is_last in (False, True):
        with (
            scheduler_process(address, tmp_path) as serving,
            host(address, "both", tmp_path, "--builds", "1", "--device", "board"),
        ):
            with distributed.Client(address, set_as_default=False, timeout=60) as client:
                client.wait_for_workers(1, 60)
            command = ["search", study, "--scheduler", address, "--trials", "6"]
            search = subprocess.Popen(
                [sys.executable, "-m", "paretune", *map(str, command)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if not is_last:
                wait_until(lambda: is_started(study) and len(load_history(study).records) >= 2, 120)
                serving.kill()
            printed, _ = search.communicate(timeout=200)
            assert search.returncode == (0 if is_last else 1), printed
            assert is_last or f"the scheduler at {address} has gone" in printed
    records = load_history(study).records
    assert len(records) == 6 and not [each for each in records if each.failure]


@contextmanager
def scheduler_process(address: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `dask scheduler` as a person does."""
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", "127.0.0.1", "--port", port, "--no-dashboard"]
    with (folder / "scheduler.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait(30)


def is_started(study: Path) -> bool:
    """Tell whether the study has its definition; its database is there a moment earlier."""
    if not (study.parent / "results" / "optuna.db").is_file():
        return False
    try:
        return bool(OpenStudy(study).definition)
    except StudyError:
        return False


@pytest.mark.slow
def test_off_this_machine_connections_are_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    monkeypatch.setenv("PARETUNE_FLEET_KEYS", str(tmp_path / "keys"))
    started = run_paretune("fleet", "start", "--host", address)
    assert started.returncode == 1 and "run `paretune fleet certify`" in started.stderr
    assert run_paretune("fleet", "certify").returncode == 0
    assert (tmp_path / "keys" / "key.pem").stat().st_mode & 0o077 == 0
    again = run_paretune("fleet", "certify")
    assert again.returncode == 1 and "there are keys in" in again.stderr
    command = [sys.executable, "-m", "paretune", "fleet", "start", "--host", address, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            said = re.search(r"tls://[\d.]+:\d+", serving.stdout.readline())
            assert said is not None
            with host(said[0], "board", tmp_path, "--device", "board"):
                with connected(said[0]) as client:
                    client.wait_for_workers(1, 60)
                shown = run_paretune("fleet", "--scheduler", said[0])
                assert "device:board" in shown.stdout, shown.stderr
            plain = run_paretune("fleet", "--scheduler", said[0].replace("tls", "tcp"))
            assert plain.returncode == 1 and "tls:// if it encrypts" in plain.stderr
            monkeypatch.setenv("PARETUNE_FLEET_KEYS", str(tmp_path / "others"))
            assert run_paretune("fleet", "certify").returncode == 0
            stranger = run_paretune("fleet", "--scheduler", said[0])
            assert stranger.returncode == 1 and "TLS certificate does not match" in stranger.stderr
        finally:
            serving.kill()


def own_address() -> str | None:
    """Return an address of this machine that others may reach, if it has one."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        found = str(probe.getsockname()[0])
        return None if found.startswith("127.") else found
    return None


@pytest.mark.slow
def test_each_of_two_devices_gets_a_frontier_and_a_pick(tmp_path: Path) -> None:
    study = write_study(tmp_path, space=TINY_SPACE, confirmation=QUICK_CONFIRMATION)
    with (
        scheduler() as address,
        host(address, "builder", tmp_path, "--builds", "1"),
        host(address, "left", tmp_path, "--device", "left"),
        host(address, "right", tmp_path, "--device", "right"),
    ):
        with connected(address) as client:
            client.wait_for_workers(3, 60)
        devices = ["--device", "left", "--device", "right"]
        done = run_paretune("search", study, "--scheduler", address, *devices, "--trials", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left  │ " in done.stdout and "right │ " in done.stdout
    histories = {each: load_history(tmp_path / f"study.{each}.yaml") for each in ("left", "right")}
    assert all(len(each.measured) == 4 and each.published for each in histories.values())
    # What one had built, the other found in the store.
    stages = [e["key"] for e in OpenStudy(study).store.executions() if e["event"] == "started"]
    assert len(stages) == len(set(stages))
    table = run_paretune("frontier", study, "--for-each-device")
    assert "a frontier per device" in table.stdout and "right" in table.stdout, table.stderr
    printed = run_paretune("frontier", study, "--for-each-device", "--format", "json")
    assert {row["device"] for row in json.loads(printed.stdout)} == {"left", "right"}
    picked = run_paretune("pick", study, "--for-each-device", "--out", tmp_path / "picked")
    assert picked.returncode == 0, picked.stdout + picked.stderr
    assert all((tmp_path / "picked" / each / "manifest.json").is_file() for each in histories)


@pytest.mark.slow
def test_a_job_that_one_host_cannot_do_is_done_by_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = write_study(tmp_path)
    opened = OpenStudy(study)
    job = Missing(BuildSpec("reference", 0.0, Quantization.FP32))

    def full(assignment: Assignment) -> LocalExecutor:
        raise StoreError("no space left")

    with BuildPool(worker_settings(opened)) as pool:
        evaluator = study_evaluator(opened, pool.service, pool.describe())
        local = LocalExecutor(pool, evaluator)
        hosts = {
            "full": ({BUILD: 1, "device:board": 1}, FleetHost(full, "board"), {}),
            "other": ({BUILD: 1}, FleetHost(lambda _: local), {}),
        }
        for there, is_done in (({"full"}, False), ({"full", "other"}, True)):
            with (
                own_hosts(**{name: hosts[name] for name in there}) as address,
                Fleet(address) as fleet,
            ):
                executor = DaskExecutor(fleet, study, evaluator)
                # More than the other host takes at once: Dask gives some to the full one.
                jobs = [replace(job, occasion=str(number)) for number in range(6)]
                for future in [executor.submit(each, BUILD) for each in jobs]:
                    while not future.done():
                        executor.wait(1.0)
                    if is_done:
                        assert "export" in future.result().value
                    else:
                        with pytest.raises(StoreError, match="no space left"):
                            future.result()
    assert "cannot work, so another one does: no space left" in caplog.text


@pytest.mark.slow
def test_one_host_builds_for_two_studies_at_the_same_time(tmp_path: Path) -> None:
    job = Build(BuildSpec("small", 0.5, Quantization.FP32))
    with closing(Studies("here", 2)) as studies:
        host = FleetHost(studies.executor)
        assignments = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            study = write_study(tmp_path / name)
            (tmp_path / name / "results" / "store").mkdir(parents=True)
            building = what_builds_depend_on(fingerprint_of(study))
            assignments.append(replace(assigned(study), building=building))
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(host.perform, each, job) for each in assignments]
            built = [each.result(timeout=200).value for each in waiting]
    assert all(isinstance(each, Built) for each in built)


def fingerprint_of(study: Path) -> str:
    """Return the fingerprint of a study's workload."""
    return describe_workload(f"{IRIS}:Iris", study.parent).fingerprint
