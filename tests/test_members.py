"""Members of a study: they share its trials in turns, and one that dies leaves its trials."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from conftest import wait_until
from postgres import postgres

from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.strategy import ExhaustiveStrategy
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.tracking import NoTracking
from paretune.search.record.trial import TrialRecord
from paretune.search.record.under_way import Death, UnderWay
from paretune.search.run.others import Others
from paretune.search.run.record_keeper import RecordKeeper
from paretune.search.run.reporter import Reporter
from paretune.search.storage import ownership
from paretune.search.storage.members import TURN
from paretune.search.storage.owner import Owner
from paretune.search.storage.ownership import MEMBER, OWNER
from paretune.search.storage.study_attribute import StudyAttribute
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import SearchSpace, StudyError

GOALS = default_objectives("accuracy")


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[], str]]:
    with postgres() as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/optuna.db"
    made: Callable[[], str] = request.getfixturevalue("server")
    return made()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send heartbeats every twentieth of a second."""
    monkeypatch.setattr(ownership, "BEAT_S", 0.05)


@pytest.fixture
def short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a process for dead after one second without a heartbeat."""
    monkeypatch.setattr(ownership, "EXPIRY_S", 1.0)


@pytest.fixture
def keep(make_record: Callable[..., TrialRecord]) -> Callable[[StudyStorage, int], TrialRecord]:
    """Finish a trial with a measurement."""

    def kept(storage: StudyStorage, number: int) -> TrialRecord:
        trials = optuna.load_study(study_name="study", storage=storage.url).trials
        candidate = trials[number].user_attrs["paretune_candidate"]
        record = make_record(number, {"accuracy": 0.9})
        record = TrialRecord.from_dict({**record.as_dict(), "candidate": candidate})
        storage.finish(record, GOALS)
        return record

    return kept


def opened(url: str, space: SearchSpace) -> StudyStorage:
    storage = StudyStorage(url, "study")
    storage.create({"workload": "w"}, GOALS, space)
    return storage


def stop_heart(storage: StudyStorage) -> None:
    """Let a process stand still, as one that was suspended."""
    seat = storage._ownership
    assert seat is not None
    seat._ended.set()
    seat._heart.join()


def keeper(storage: StudyStorage, space: SearchSpace) -> RecordKeeper:
    """Return what keeps the records of a search that has just begun."""
    history = History(GOALS)
    return RecordKeeper(
        storage=storage,
        history=history,
        strategy=ExhaustiveStrategy(space),
        tracking=NoTracking(),
        reporter=Reporter(),
        given_up=GivenUp(history, space, 3),
        identical_failures=9,
        completed=lambda record: record,
    )


def others(storage: StudyStorage, space: SearchSpace, folder: Path) -> Others:
    return Others(keeper(storage, space), UnderWay(folder / "study.running"))


def test_the_first_to_join_owns_the_study_and_the_next_ones_help(
    url: str, space: SearchSpace
) -> None:
    first, second = opened(url, space), opened(url, space)
    with first.owned(joins=True):
        assert first.is_owner
        with second.owned(joins=True):
            assert not second.is_owner
            assert [first.start(space.baseline), second.start(space.informative()[1])] == [0, 1]
            # Nobody's trials are taken over while they live; the first has not seen the second yet.
            assert first.recover(GOALS) == [] and second.recover(GOALS) == []
            assert [each.number for each in second.news(()).under_way] == [0]
            assert [each.number for each in first.news(()).under_way] == [1]
    assert optuna.load_study(study_name="study", storage=url).user_attrs.keys() == {
        "paretune_definition"
    }


def test_many_that_want_the_same_at_once_try_it_once_and_keep_the_budget(
    url: str, space: SearchSpace
) -> None:
    count, most = 4, 5
    with ExitStack() as stack:
        storages = [opened(url, space) for _ in range(count)]
        for storage in storages:
            stack.enter_context(storage.owned(joins=True))
        candidates = [space.baseline, *space.informative()[1:], *space.candidates()]
        wanted = list(dict.fromkeys(candidates))[: most + 2]
        barrier, begun = threading.Barrier(count), []

        def claim(storage: StudyStorage) -> None:
            barrier.wait()
            begun.extend(storage.claim(candidate, most) for candidate in wanted)

        threads = [threading.Thread(target=claim, args=(storage,)) for storage in storages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(begun) == count * len(wanted)
        assert sorted(each for each in begun if each is not None) == list(range(most))
        trials = optuna.load_study(study_name="study", storage=url).trials
        tried = [str(trial.user_attrs["paretune_candidate"]) for trial in trials]
        assert len(tried) == len(set(tried)) == most


def test_what_others_finish_is_news_once(
    url: str,
    space: SearchSpace,
    tmp_path: Path,
    keep: Callable[[StudyStorage, int], TrialRecord],
) -> None:
    first, second = opened(url, space), opened(url, space)
    with first.owned(joins=True), second.owned(joins=True):
        records = keeper(second, space)
        seen = Others(records, UnderWay(tmp_path / "study.running"))
        number = first.start(space.baseline)
        assert not seen.has_baseline  # A helper does not begin before the baseline is measured.
        assert seen.waits_for(is_over=False) == "waiting for the study's first measurement"
        assert seen.learn() == [] and not records.history.records
        record = keep(first, number)
        for _ in range(2):
            assert seen.learn() == [] and not seen.under_way
            assert records.history.records == [record]
        assert seen.has_baseline and seen.waits_for(is_over=False) is None
        # Its strategy knows, too.
        assert records.strategy.propose() != space.baseline


@pytest.mark.usefixtures("short_lived")
def test_a_dead_helper_is_fenced_and_its_trials_are_taken_over(
    url: str, space: SearchSpace, keep: Callable[[StudyStorage, int], TrialRecord]
) -> None:
    owner, helper = opened(url, space), opened(url, space)
    with owner.owned(joins=True), helper.owned(joins=True):
        owner.start(space.baseline)
        number = helper.start(space.informative()[1])
        stop_heart(helper)
        wait_until(lambda: owner.news(()).has_orphans)
        for write in (
            lambda: keep(helper, number),
            lambda: helper.claim(space.informative()[2], 9),
            lambda: helper.news(()),
        ):
            with pytest.raises(StudyError, match="goes on without this process"):
                write()
        # Only what the dead one left; charged with its death, once.
        deaths = [Death("its session", (0, number))] * 2
        [trial] = owner.recover(GOALS, *deaths)
        assert (trial.number, trial.deaths) == (number, 1)
        assert owner.recover(GOALS) == [] and not owner.news(()).has_orphans
        keep(owner, number)


@pytest.mark.usefixtures("short_lived")
def test_a_helper_takes_the_place_of_a_dead_owner_and_finishes_what_it_had_stored(
    url: str,
    space: SearchSpace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep: Callable[[StudyStorage, int], TrialRecord],
) -> None:
    owner, helper = opened(url, space), opened(url, space)
    with owner.owned(joins=True), helper.owned(joins=True):
        numbers = [owner.start(candidate) for candidate in space.informative()[:2]]
        with monkeypatch.context() as patch:  # It dies between the record and the state.
            patch.setattr(StudyStorage, "_close", lambda *_: None)
            record = keep(owner, numbers[0])
        stop_heart(owner)
        seen = others(helper, space, tmp_path)
        wait_until(lambda: (seen.learn(), helper.is_owner)[1])
        with pytest.raises(StudyError, match="was taken over by"):
            keep(owner, numbers[1])
        assert helper.owner is not None
    assert [each.as_dict() for each in helper.records()] == [record.as_dict()]


@pytest.mark.usefixtures("short_lived")
def test_a_helper_that_was_taken_for_dead_does_not_become_the_owner(
    url: str, space: SearchSpace
) -> None:
    owner, helper = opened(url, space), opened(url, space)
    with ExitStack() as stack:
        stack.enter_context(owner.owned(joins=True))
        stack.enter_context(helper.owned(joins=True))
        number = helper.start(space.informative()[1])
        stop_heart(helper)
        wait_until(lambda: owner.news(()).has_orphans)
        assert [trial.number for trial in owner.recover(GOALS)] == [number]
        stop_heart(owner)
        kept = StudyAttribute(owner._database, owner._study_id, OWNER)
        assert kept.swap(kept.read(), None)
        # There is no owner; but its trial is not its own any more.
        with pytest.raises(StudyError, match="goes on without this process"):
            helper.news(())
        assert kept.read() is None and not helper.is_owner


@pytest.mark.usefixtures("short_lived")
def test_the_turn_of_a_dead_process_goes_to_the_next(url: str, space: SearchSpace) -> None:
    owner, helper = opened(url, space), opened(url, space)
    with owner.owned(joins=True), helper.owned(joins=True):
        turn = StudyAttribute(owner._database, owner._study_id, TURN)
        assert helper._ownership is not None
        assert turn.swap(None, f'"{helper._ownership.token}"')
        stop_heart(helper)
        assert owner.claim(space.baseline, 9) == 0  # It waits until the other one counts as dead.
        assert turn.read() is None
        assert turn.swap(None, '"somebody who ended long ago"')
        assert owner.claim(space.informative()[1], 9) == 1


@pytest.mark.usefixtures("short_lived")
def test_a_helper_elsewhere_that_beats_is_alive_whatever_its_clock_says(
    url: str, space: SearchSpace
) -> None:
    owner = opened(url, space)
    there = replace(Owner.this_process("there"), host="other", place="other", last_beat="1999")
    with owner.owned(joins=True):
        name = StudyAttribute(owner._database, owner._study_id, f"{MEMBER}there")
        assert name.swap(None, there.as_json())
        ended = threading.Event()

        def beat() -> None:
            now = there
            while not ended.wait(0.05):
                after = replace(now, beats=now.beats + 1)
                assert name.swap(now.as_json(), after.as_json())
                now = after

        heart = threading.Thread(target=beat)
        heart.start()
        assert owner._members is not None
        looks = 3 * round(ownership.EXPIRY_S / ownership.BEAT_S)
        for _ in range(looks):
            ended.wait(ownership.BEAT_S)
            owner.news(())
            assert "there" in owner._members.living
        ended.set()
        heart.join()
        members = owner._members
        wait_until(lambda: (owner.news(()), "there" not in members.living)[1])
        assert name.read() is None


def test_trials_of_an_earlier_version_belong_to_nobody(url: str, space: SearchSpace) -> None:
    storage = opened(url, space)
    number = storage.start(space.baseline)  # without an owner, as it was then
    with storage.owned(joins=True):
        assert storage.news(()).has_orphans
        assert [trial.number for trial in storage.recover(GOALS)] == [number]
        assert not storage.news(()).has_orphans and storage.recover(GOALS) == []


def test_the_owner_waits_for_helpers_and_a_helper_for_a_sign_of_life(
    url: str, space: SearchSpace, tmp_path: Path
) -> None:
    owner, helper = opened(url, space), opened(url, space)
    with owner.owned(joins=True):
        mine = others(owner, space, tmp_path)
        with helper.owned(joins=True):
            theirs = others(helper, space, tmp_path)
            number = helper.start(space.baseline)
            mine.learn()
            assert f"trial {number} of process" in (mine.waits_for(is_over=True) or "")
            theirs.learn()
            assert theirs.waits_for(is_over=True) == "checking that the study's owner is alive"
            wait_until(lambda: (theirs.learn(), theirs.waits_for(is_over=True))[1] is None)
        assert [trial.number for trial in mine.learn()] == [number]
        assert mine.waits_for(is_over=True) is None


def test_failures_are_held_back_until_somebody_has_measured_something(
    url: str,
    space: SearchSpace,
    tmp_path: Path,
    make_record: Callable[..., TrialRecord],
    keep: Callable[[StudyStorage, int], TrialRecord],
) -> None:
    owner, helper = opened(url, space), opened(url, space)
    with owner.owned(joins=True), helper.owned(joins=True):
        records = keeper(owner, space)
        failed = owner.start(space.baseline)
        records.keep(replace(make_record(failed, None), candidate=space.baseline))
        # It counts as under way: nobody tries it now, and it is tried again after an end.
        assert owner.records() == [] and not helper.news(()).has_orphans
        assert [each.number for each in helper.news(()).under_way] == [failed]
        assert not others(helper, space, tmp_path).has_baseline
        number = helper.start(space.informative()[1])
        records.add(keep(helper, number))
        assert [each.number for each in owner.records()] == [failed, number]
        assert [each.number for each in helper.news({number}).records] == [failed]


def test_deaths_of_others_in_the_folder_are_found(tmp_path: Path) -> None:
    owner, helper = UnderWay(tmp_path / "iris.running"), UnderWay(tmp_path / "iris@2.running")
    another = UnderWay(tmp_path / "iris.2.running")  # another study
    for each, number in ((owner, 1), (helper, 2), (another, 3)):
        each.note([number])
    assert [death.numbers for death in owner.others_deaths()] == [(2,)]
    assert [death.numbers for death in helper.others_deaths()] == [(1,)]
    assert another.others_deaths() == []
