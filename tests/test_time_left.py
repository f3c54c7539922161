"""The time that a search still takes: with one worker and several, near the end, with hours."""

import heapq
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import TESTS

from paretune.search.confirm.pace import ConfirmationPace, ConfirmationProgress, rounds_after
from paretune.search.record.history import History
from paretune.search.record.trial import TrialRecord
from paretune.search.run.budget import Budget
from paretune.search.run.reporter import Reporter
from paretune.search.run.time_left import Pace, Running, TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import Candidate

sys.path.append(str(TESTS.parent / "experiments" / "benchmarks"))

from problem import Problem
from simulated_executor import SimulatedExecutor, SimulatedWork
from simulated_study import loop_of

TRIALS = 60


def spans_of(durations: Sequence[float], workers: int) -> list[tuple[float, float]]:
    """Return when trials begin and end, if whoever ends one begins the next."""
    free = [0.0] * workers
    spans = []
    for seconds in durations:
        begin = heapq.heappop(free)
        spans.append((begin, begin + seconds))
        heapq.heappush(free, begin + seconds)
    return spans


def estimates(durations: Sequence[float], workers: int) -> list[tuple[float, float]]:
    """Return what is said at the end of each trial to be left, and what is left."""
    spans = spans_of(durations, workers)
    last, pace, told = max(end for _, end in spans), Pace(0.0), []
    for begin, end in sorted(spans, key=lambda span: span[1]):
        pace.ended(end, end - begin)
        running = [Running(end - b) for b, e in spans if b < end < e]
        to_begin = sum(b >= end for b, _ in spans)
        left = pace.seconds_left(running, to_begin, workers)
        assert left is not None
        told.append((left, last - end))
    return told


@pytest.mark.parametrize("workers", [1, 4, 8])
def test_it_is_right_from_the_first_trial_on_with_several_workers(workers: int) -> None:
    durations = np.random.default_rng(7).uniform(50.0, 70.0, TRIALS)
    for left, true in estimates(list(durations), workers):
        # Nothing can tell how long single trials will take: two of them, at most, in sixty.
        assert abs(left - true) <= max(0.25 * true, 40.0)


def test_the_longest_trial_decides_at_the_end() -> None:
    pace = Pace(0.0)
    for at in range(15, 615, 15):  # four workers, a minute each
        pace.ended(float(at), 60.0)
    assert pace.seconds_left([Running(0.0)] * 4, 36, 4) == pytest.approx(600.0)
    assert pace.seconds_left([Running(10.0)], 0, 4) == pytest.approx(50.0)
    # One whose cost is known, and one that says itself how far it is.
    assert pace.seconds_left([Running(10.0, 200.0)], 0, 4) == pytest.approx(190.0)
    assert pace.seconds_left([Running(400.0, 200.0, 1000.0)], 0, 4) == pytest.approx(1000.0)
    # One that is late is expected to be half as late again.
    assert pace.seconds_left([Running(100.0)], 0, 4) == pytest.approx(20.0)
    # What a cost model says of a kind that it has not seen may be far off.
    assert pace.seconds_left([Running(0.0, 1e6)], 0, 4) == pytest.approx(300.0)
    assert pace.seconds_left([], 0, 4) == 0.0


def test_nothing_is_said_before_anything_is_known() -> None:
    assert Pace(0.0).seconds_left([Running(5.0)], 10, 1) is None
    assert TimeLeft().total_s is None and TimeLeft(10.0, 5.0).total_s == 15.0
    # A search that goes on knows its earlier trials.
    assert Pace(0.0, [30.0, 30.0]).seconds_left([Running(10.0)], 3, 2) == pytest.approx(60.0)


class Listener(Reporter):
    """Records the time left that is told when a trial of a simulated study ends."""

    def __init__(self, executor: SimulatedExecutor) -> None:
        self.executor = executor
        self.left: TimeLeft | None = None
        self.busy: list[tuple[int, str]] = []
        self.told: list[tuple[float, float | None]] = []

    def working(self, work: Sequence[Work], left: TimeLeft) -> None:
        self.left = left
        self.busy.append((sum(w.is_build for w in work), " ".join(w.words for w in work)))

    def trial_finished(self, record: TrialRecord, history: History) -> None:
        assert self.left is not None
        self.told.append((self.executor.now, self.left.total_s))


def searched(folder: Path, builds: int, budget: Budget, reserve_s: float = 0.0) -> Listener:
    problem = Problem(0)
    executor = SimulatedExecutor(SimulatedWork(problem).do, builds)
    listener = Listener(executor)
    loop = loop_of(folder, executor, listener, problem, seed=0, clock=lambda: executor.now)
    loop.reserve = lambda budget_s: reserve_s
    loop._news._reserve = loop.reserve
    loop.run(budget)
    return listener


def test_a_search_tells_what_is_done_and_how_long_it_will_take(tmp_path: Path) -> None:
    listener = searched(tmp_path, builds=4, budget=Budget(30))
    assert max(count for count, _ in listener.busy) > 1  # builds side by side
    assert any("measuring" in words for _, words in listener.busy)
    assert all(count <= 4 for count, _ in listener.busy)
    assert len(listener.told) == 30
    assert all(left is not None and left > 0 for _, left in listener.told[:-1])
    assert listener.told[-1][1] == 0.0


def test_hours_end_a_search_and_the_confirmation_is_part_of_them(tmp_path: Path) -> None:
    hours = 0.1
    listener = searched(tmp_path, 2, Budget(10**6, hours), reserve_s=60.0)
    assert len(listener.told) > 5
    for now, left in listener.told:
        assert left is not None and left <= hours * 3600 - now + 1e-6
    now, left = listener.told[-1]
    assert left == pytest.approx(hours * 3600 - now, abs=1.0)


def test_a_confirmation_learns_how_long_its_measurements_take(make_record) -> None:  # type: ignore[no-untyped-def]
    now, told, record = [0.0], list[ConfirmationProgress](), make_record(3, {"accuracy": 0.9})
    pace = ConfirmationPace(told.append, 10.0, clock=lambda: now[0])
    pace.expect(2, rounds=4, waiting=0)

    def measure(kind: str, seconds: float) -> None:
        with pace.timing(kind, record):  # type: ignore[arg-type]
            now[0] += seconds

    measure("quality", 2.0)
    measure("quality", 2.0)
    pace.begin_round(1, 2, 2, more_rounds=3)
    for _ in range(2):
        measure("launch", 5.0)
    pace.begin_round(2, 1, 1, more_rounds=1)
    measure("launch", 5.0)
    assert [each.seconds_left for each in told] == [100.0, 82.0, 80.0, 35.0, 10.0]
    assert [(each.round, each.unsettled, each.done) for each in told] == [
        (0, 2, 0),
        (0, 1, 1),
        (1, 2, 2),
        (1, 2, 3),
        (2, 1, 4),
    ]
    assert told[0].number == 3 and told[0].points == 2
    late = ConfirmationPace(told.append, 10.0, deadline=30.0, clock=lambda: 5.0)
    late.expect(2, rounds=4, waiting=0)
    assert late.seconds_left == 25.0


def test_rounds_that_are_expected() -> None:
    # Five launches, then three rounds without a change.
    assert [rounds_after(n, 0, 5, 20, 3) for n in (1, 5)] == [7, 3]
    assert [rounds_after(5 + n, n - 1, 5, 20, 3) for n in (1, 2, 3)] == [2, 1, 0]
    # A point has at most so many launches.
    assert [rounds_after(n, 0, 2, 3, 3) for n in (1, 2, 3)] == [2, 1, 0]


def test_the_loop_tells_how_many_trials_are_left(tmp_path: Path) -> None:
    problem = Problem(0)
    executor = SimulatedExecutor(SimulatedWork(problem).do)
    loop = loop_of(tmp_path, executor, Reporter(), problem, seed=0, clock=lambda: executor.now)
    propose, told = loop.strategy.propose, []

    def asked(pending: Collection[Candidate] = ()) -> Candidate | None:
        told.append(loop.affordable.trials)
        return propose(pending)

    loop.strategy.propose = asked  # type: ignore[method-assign]
    loop.run(Budget(4))
    assert told == [4, 3, 2, 1]
