"""What every executor keeps to: this machine's, a fleet's, both for real, and the simulated one."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import pytest
from conftest import TESTS, write_study

from paretune.runners.build.built import Built, Training
from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.executor import BUILD, Executor, done
from paretune.runners.execute.job import Build, Job, Launch, Measure, Missing, Score, Train
from paretune.runners.execute.local_executor import LocalExecutor
from paretune.runners.failure import Failure
from paretune.runners.fleet.dask_executor import DaskExecutor
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.fleet.fleet_host import FleetHost, as_plugin
from paretune.runners.measure.campaign import Launched
from paretune.runners.measure.evaluator import Evaluator, Scored
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_evaluator
from paretune.spaces import BuildSpec, Quantization, RunSpec

sys.path.append(str(TESTS.parent / "experiments" / "benchmarks"))

from problem import Problem
from simulated_executor import SimulatedExecutor, SimulatedWork

SPEC = BuildSpec("reference", 0.0, Quantization.FP32)
STUDENT = BuildSpec("small", 0.0, Quantization.FP32)
RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 1, 1)


class Rig(Protocol):
    """An executor with what a test has to know of it."""

    executor: Executor
    begins_at_once: bool
    """Whether a job may begin before somebody waits."""

    def effort(self) -> Any:
        """Return something that changes whenever anything is built or measured."""

    def kill(self, moment: str) -> None:
        """Have the next worker killed right ``before`` or ``after`` its outcome is kept."""

    def spans(self, slot: str) -> list[tuple[float, float]]:
        """Return when the slot's jobs began and ended."""


class LocalRig:
    def __init__(self, executor: Executor, store: ArtifactStore, kill: Path) -> None:
        self.executor = executor
        self.store = store
        self.orders = kill
        self.begins_at_once = not isinstance(executor, LocalExecutor)
        self.measured: list[tuple[float, float]] = []
        self.is_measuring = False

    def effort(self) -> Any:
        return len(self.store.executions()), len(self.measured)

    def kill(self, moment: str) -> None:
        (self.orders / moment).touch()

    def spans(self, slot: str) -> list[tuple[float, float]]:
        if slot != BUILD:
            return self.measured
        begun = {}
        spans = []
        for entry in self.store.executions():
            if entry["event"] == "started":
                begun[entry["key"]] = entry["at"]
            else:
                spans.append((begun[entry["key"]], entry["at"]))
        return spans

    def spy(self, measure: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            is_outermost, self.is_measuring = not self.is_measuring, True
            began = time.time()
            try:
                return measure(*arguments)
            finally:
                if is_outermost:  # a measurement scores, too
                    self.is_measuring = False
                    self.measured.append((began, time.time()))

        return timed


class SimulatedRig:
    begins_at_once = False

    def __init__(self) -> None:
        self.executor = SimulatedExecutor(SimulatedWork(Problem(0)).do)

    def effort(self) -> Any:
        return self.executor.now

    def kill(self, moment: str) -> None:
        self.executor.dies = moment == "before"  # nobody notices what dies after it

    def spans(self, slot: str) -> list[tuple[float, float]]:
        return [(begin, end) for own, begin, end in self.executor.spans if own == slot]


@pytest.fixture(
    scope="module", params=[pytest.param("local", marks=pytest.mark.slow), "fleet", "simulated"]
)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One executor for all tests: each has an occasion of its own."""
    if request.param == "simulated":
        yield SimulatedRig()
        return
    folder, orders = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("kill")
    study = write_study(folder, workload=f"{TESTS / 'fragile_workload.py'}:Fragile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_TEST_KILL", str(orders))
        opened = OpenStudy(study)
        with BuildPool(worker_settings(opened)) as pool:
            evaluator = study_evaluator(opened, pool.service, pool.describe())
            with ExitStack() as fleet:
                executor: Executor = LocalExecutor(pool, evaluator)
                if request.param == "fleet":
                    executor = fleet.enter_context(own_fleet(executor, study, evaluator))
                rig = LocalRig(executor, evaluator.store, orders)
                for name in ("measure", "scored", "launched"):
                    patch.setattr(evaluator, name, rig.spy(getattr(evaluator, name)))
                yield rig


@contextmanager
def own_fleet(local: Executor, study: Path, evaluator: Evaluator) -> Iterator[DaskExecutor]:
    """A scheduler with one host, both in this process; the host's executor is ``local``."""
    distributed = pytest.importorskip("distributed", reason="the extra `fleet` is not installed")
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=3,
            processes=False,
            dashboard_address=":0",
            resources={BUILD: 1, "device:board": 1},
            plugins=(as_plugin(FleetHost(lambda assignment: local, "board")),),
        ) as cluster,
        Fleet(cluster.scheduler_address) as fleet,
    ):
        yield DaskExecutor(fleet, study, evaluator)


@pytest.fixture
def about(request: pytest.FixtureRequest, rig: Rig) -> dict[str, str]:
    """What jobs of a test have in common."""
    return {"occasion": request.node.name}


def samples(rig: Rig) -> StoredSamples:
    return rig.executor.site(RUN).samples


def do(rig: Rig, job: Job) -> Any:
    """Return what comes of a job."""
    return done(rig.executor, job, RUN)


def test_what_is_done_twice_costs_nothing(rig: Rig, about: dict[str, str]) -> None:
    trained = do(rig, Train(STUDENT, "distill", **about))
    built = do(rig, Build(STUDENT, **about))
    measured = do(rig, Measure(built.artifact, RUN, samples(rig), **about))
    scored = do(rig, Score(built.artifact, RUN, samples(rig), **about))
    assert isinstance(trained, Training) and isinstance(scored, Scored)
    assert isinstance(measured, Measurement)
    effort = rig.effort()
    assert do(rig, Train(STUDENT, "distill", **about)) == trained
    assert do(rig, Build(STUDENT, **about)) == built
    assert do(rig, Measure(built.artifact, RUN, samples(rig), **about)) == measured
    assert do(rig, Score(built.artifact, RUN, samples(rig), **about)) == scored
    assert rig.effort() == effort


def test_a_measurement_for_another_occasion_is_made_anew(rig: Rig, about: dict[str, str]) -> None:
    built = do(rig, Build(SPEC, **about))
    effort = rig.effort()
    for occasion in ("one", "two"):
        assert do(
            rig, Measure(built.artifact, RUN, samples(rig), occasion=occasion + about["occasion"])
        )
        assert rig.effort() != effort
        effort = rig.effort()
    # What is built is found, stage by stage, whatever it is for.
    assert do(rig, Build(SPEC, occasion="other" + about["occasion"])).stage_seconds == {}
    assert rig.effort() == effort


def test_every_launch_is_a_new_sample(rig: Rig, about: dict[str, str]) -> None:
    built = do(rig, Build(SPEC, **about))
    for number in (1, 2, 2):
        effort = rig.effort()
        launched = do(rig, Launch(built.artifact, RUN, samples(rig), number, **about))
        assert isinstance(launched, Launched) and launched.launch.latency_ms
        assert rig.effort() != effort


def test_what_is_missing_is_asked_anew(rig: Rig, about: dict[str, str]) -> None:
    spec = BuildSpec("small", 0.0, Quantization.INT8_DYNAMIC)
    assert do(rig, Missing(spec, **about))[-1] == "quantize"
    do(rig, Build(spec, **about))
    assert do(rig, Missing(spec, **about)) == ()


def test_a_job_under_way_has_one_future(rig: Rig, about: dict[str, str]) -> None:
    built, slot = do(rig, Build(SPEC, **about)), rig.executor.site(RUN).device
    job = Measure(built.artifact, RUN, samples(rig), **about)
    future = rig.executor.submit(job, slot)
    assert rig.executor.submit(job, slot) is future and not future.done()
    rig.executor.wait()
    assert isinstance(future.result().value, Measurement)


def test_a_worker_killed_before_its_outcome_is_kept_does_it_again(
    rig: Rig, about: dict[str, str]
) -> None:
    rig.kill("before")
    assert isinstance(do(rig, Build(SPEC, **about)), Failure)
    assert isinstance(do(rig, Build(SPEC, **about)), Built)


@pytest.mark.parametrize("rig", ["fleet"], indirect=True)
def test_a_failed_job_is_done_again_however_slowly_the_client_lets_go(
    rig: Rig, about: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import distributed

    let_go = distributed.Client._dec_ref

    def slowly(client: distributed.Client, key: str) -> None:
        time.sleep(0.2)
        let_go(client, key)

    monkeypatch.setattr(distributed.Client, "_dec_ref", slowly)
    rig.kill("before")
    assert isinstance(do(rig, Build(SPEC, **about)), Failure)
    assert isinstance(do(rig, Build(SPEC, **about)), Built)


def test_a_worker_killed_after_its_outcome_is_kept_loses_nothing(
    rig: Rig, about: dict[str, str]
) -> None:
    rig.kill("after")
    built = do(rig, Build(SPEC, **about))
    assert isinstance(built, Built)
    effort = rig.effort()
    assert do(rig, Build(SPEC, **about)) == built
    assert rig.effort() == effort


def test_what_is_cancelled_leaves_nothing_and_can_be_done_again(
    rig: Rig, about: dict[str, str]
) -> None:
    built, slot = do(rig, Build(SPEC, **about)), rig.executor.site(RUN).device
    spec = BuildSpec("small", 0.0, Quantization.INT8_STATIC)
    jobs = [Build(spec, **about), Measure(built.artifact, RUN, samples(rig), **about)]
    futures = [rig.executor.submit(jobs[0], BUILD), rig.executor.submit(jobs[1], slot)]
    measured = len(rig.spans(slot))
    rig.executor.cancel()
    assert futures[1].cancelled()
    with pytest.raises(CancelledError):
        futures[0].result(0)
    rig.executor.wait(0.0)
    assert rig.begins_at_once or len(rig.spans(slot)) == measured
    assert isinstance(do(rig, jobs[0]), Built) and isinstance(do(rig, jobs[1]), Measurement)


def test_a_slot_takes_one_at_a_time(rig: Rig, about: dict[str, str]) -> None:
    executor, device = rig.executor, rig.executor.site(RUN).device
    built = do(rig, Build(SPEC, **about))
    assert executor.capacity(device) == executor.capacity(BUILD) == 1
    before = {slot: len(rig.spans(slot)) for slot in (device, BUILD)}
    futures = [
        executor.submit(Measure(built.artifact, RUN, samples(rig), occasion=f"{n}{about}"), device)
        for n in range(3)
    ]
    specs = [BuildSpec("small", 0.5, each) for each in ("fp32", "int8-weight")]
    futures += [executor.submit(Build(spec, **about), BUILD) for spec in specs]
    while not all(future.done() for future in futures):
        executor.wait(30.0)
    for slot in (device, BUILD):
        spans = sorted(rig.spans(slot)[before[slot] :])
        assert len(spans) >= 2
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def test_an_unknown_slot_is_refused(rig: Rig, about: dict[str, str]) -> None:
    assert rig.executor.capacity("attic") == 0
    with pytest.raises(ValueError, match="slot 'attic'"):
        rig.executor.submit(Build(SPEC, **about), "attic")
