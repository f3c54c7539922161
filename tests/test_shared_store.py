"""One artifact store, several studies: no study removes files that another needs."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import QUICK_CONFIRMATION, run_paretune, wait_until, write_study

import paretune
from paretune.runners.measure.statistic import Statistic
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.pins import Pins
from paretune.runners.store.stage_record import StageRecord
from paretune.runners.store.use import StoreUse
from paretune.runners.workload.recipe import Recipe
from paretune.search.propose.cost import CostModel
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Objective
from paretune.search.record.trial import TrialRecord
from paretune.search.run.store_limit import StoreLimit, needed_files
from paretune.search.study.open_study import load_history

GOALS = [Objective("accuracy", "maximize"), Objective("latency_p95_ms", "minimize")]
USE = (
    "import sys; from pathlib import Path\n"
    "from paretune.runners.store.artifact_store import ArtifactStore\n"
    "from paretune.runners.store.use import StoreUse\n"
    "with StoreUse(ArtifactStore(Path(sys.argv[1]))):\n"
    "    print('in use', flush=True); sys.stdin.read()\n"
)

Make = Callable[..., TrialRecord]


def waits_for_a_lock(pid: int) -> bool:
    """Tell whether Linux lists a process as waiting for a lock."""
    lines = Path("/proc/locks").read_text("utf-8").splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def exported(store: ArtifactStore, tmp_path: Path, content: str) -> str:
    """Put a file into the store as the output of a stage that took no time."""
    file = tmp_path / "file"
    file.write_text(content * 1000)
    digest = store.put(file)
    store.commit(StageRecord("export", f"{digest}-key", {}, None, digest, 0.1))
    return digest


def point(make_record: Make, number: int, file: str, accuracy: float, p95: float) -> TrialRecord:
    record = make_record(number, {"accuracy": accuracy, "latency_p95_ms": p95})
    assert record.measurement is not None
    statistics = dict(record.measurement.statistics)
    statistics["latency_p95_ms"] = Statistic(p95, p95 * 0.9, p95 * 1.1)
    return replace(
        record, outcome=replace(record.measurement, artifact=file, statistics=statistics)
    )


def limit_of(
    store: ArtifactStore, use: StoreUse, history: History, study: str = "one", gb: float = 1e-9
) -> StoreLimit:
    pins = Pins(store, study, "0" * 32)
    return StoreLimit(store, gb, history, pins, use, CostModel(history, Recipe()))


def test_a_study_needs_what_it_publishes_and_what_it_may_have_to_measure_again(
    make_record: Make,
) -> None:
    records = [
        point(make_record, 0, "base", 0.90, 1.0),
        point(make_record, 1, "plausible", 0.90, 1.1),  # dominated within its interval only
        point(make_record, 2, "beaten", 0.90, 2.0),
        point(make_record, 3, "frontier", 0.95, 2.0),
        point(make_record, 4, "published once", 0.80, 3.0),
    ]
    history = History(GOALS, records=records)
    assert needed_files(history) == {"base", "plausible", "frontier"}
    assert records[4].measurement is not None
    history.confirmed = [Confirmed(4, records[4].measurement, 0.9, is_published=True)]
    assert needed_files(history) == {"base", "plausible", "frontier", "published once"}
    assert needed_files(History(GOALS)) == set()


def test_no_study_removes_what_another_has_pinned(
    store: ArtifactStore, tmp_path: Path, make_record: Make
) -> None:
    mine, beaten, theirs, nobodys = (exported(store, tmp_path, c) for c in "abcd")
    history = History(
        GOALS,
        records=[
            point(make_record, 0, mine, 0.9, 1.0),
            point(make_record, 1, beaten, 0.5, 9.0),
        ],
    )
    Pins(store, "two", "1" * 32).replace([theirs])
    with StoreUse(store) as use:
        limit = limit_of(store, use, history)
        assert limit.is_reached()
        assert store.pinned()[f"one.{'0' * 32}"] == {mine, beaten}
        limit.enforce()
    assert set(store.names()) == {mine, theirs}
    assert store.pinned()[f"one.{'0' * 32}"] == {mine}
    # Who deletes a study deletes its pins.
    (store.pins / f"two.{'1' * 32}").unlink()
    with StoreUse(store) as use:
        limit_of(store, use, history).enforce()
    assert store.names() == [mine] and nobodys != mine


def test_nothing_is_removed_while_another_study_uses_the_store(
    store: ArtifactStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, command = exported(store, tmp_path, "a"), [sys.executable, "-c", USE, store.root]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "in use\n"
        with StoreUse(store) as use:
            limit_of(store, use, History(GOALS)).enforce()
        other.communicate()
    assert store.names() == [file]
    assert "another process uses it" in caplog.text
    with StoreUse(store) as use:
        limit_of(store, use, History(GOALS)).enforce()
    assert store.names() == []


def test_a_killed_study_does_not_use_the_store_any_more(store: ArtifactStore) -> None:
    command = [sys.executable, "-c", USE, store.root]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "in use\n"
        with StoreUse(store) as use, use.alone() as is_alone:
            assert not is_alone
        other.kill()
    with StoreUse(store) as use:
        with use.alone() as is_alone:
            assert is_alone
            # A study that begins meanwhile waits until the files are removed.
            beginning = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            wait_until(lambda: waits_for_a_lock(beginning.pid))
        # Both use it now.
        assert beginning.communicate()[0] == "in use\n"


def test_a_store_that_stays_too_large_says_who_needs_it(
    store: ArtifactStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Pins(store, "two", "1" * 32).replace([exported(store, tmp_path, "a")])
    with StoreUse(store) as use:
        limit_of(store, use, History(GOALS)).enforce()
    assert f"two.{'1' * 32}" in caplog.text and str(store.pins) in caplog.text


@pytest.mark.slow
def test_a_studys_limit_leaves_what_another_published(tmp_path: Path) -> None:
    first = write_study(tmp_path, budget={"trials": 6}, confirmation=QUICK_CONFIRMATION)
    done = run_paretune("search", first)
    assert done.returncode == 0, done.stdout + done.stderr
    history = load_history(first)
    (tmp_path / "second").mkdir()
    second = write_study(
        tmp_path / "second",
        name="second",
        output_dir=str(tmp_path / "results"),
        budget={"trials": 22, "store_gb": 1e-6},
        strategy={"sampler": "exhaustive"},
        objectives=[{"metric": "latency_p95_ms"}],
        tracking=False,
    )
    done = run_paretune("search", second)
    assert done.returncode == 0, done.stdout + done.stderr
    store = ArtifactStore(tmp_path / "results" / "store")
    assert any(
        store.state(record.measurement.artifact) == "missing"
        for record in load_history(second).measured
        if record.measurement
    )
    needed = needed_files(history)
    assert len(needed) > 1 and all(store.state(name) == "whole" for name in needed)
    assert paretune.pick(first, max_latency_ms=1000.0).checked is not None
