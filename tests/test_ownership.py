"""One coordinator writes to a study: the owner sends heartbeats, a newcomer watches, one wins."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from postgres import postgres

from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.storage import ownership
from paretune.search.storage.owner import Owner
from paretune.search.storage.ownership import OWNER
from paretune.search.storage.study_attribute import StudyAttribute
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import SearchSpace, StudyError

GOALS = default_objectives("accuracy")
SLEEPER = """
import sys
from paretune.search.storage.study_storage import StudyStorage
with StudyStorage(sys.argv[1], "study").owned():
    print("owned", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[[], str]]:
    with ExitStack() as stack:
        yield stack.enter_context(postgres())


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/optuna.db"
    made: Callable[[], str] = request.getfixturevalue("server")
    return made()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send heartbeats every twentieth of a second, and count as dead after one second."""
    monkeypatch.setattr(ownership, "BEAT_S", 0.05)
    monkeypatch.setattr(ownership, "_LOOK_S", 0.1)
    monkeypatch.setattr(ownership, "EXPIRY_S", 1.0)


def opened(url: str, space: SearchSpace) -> StudyStorage:
    storage = StudyStorage(url, "study")
    storage.create({"workload": "w"}, GOALS, space)
    return storage


def attribute(storage: StudyStorage) -> StudyAttribute:
    return StudyAttribute(storage._database, storage._study_id, OWNER)


def elsewhere(owner: Owner) -> str:
    """Return an owner as one on another host, the clock of which is hours off."""
    there = replace(owner, token="other", host="other", place="other", last_beat="1999-01-01")
    return there.as_json()


def test_an_owner_lets_go_when_it_ends(url: str, space: SearchSpace) -> None:
    storage, other = opened(url, space), opened(url, space)
    with storage.owned():
        owner = other.owner
        assert owner is not None and owner.pid == os.getpid()
    assert attribute(storage).read() is None
    with pytest.raises(KeyboardInterrupt), storage.owned():
        raise KeyboardInterrupt
    assert attribute(storage).read() is None
    with other.owned():
        storage.check_owner()


def test_many_that_open_a_new_database_at_once_have_one_study(url: str, space: SearchSpace) -> None:
    count, made = 4, []
    barrier = threading.Barrier(count)

    def create() -> None:
        barrier.wait()
        made.append(opened(url, space).definition)

    threads = [threading.Thread(target=create) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == count and all(each == made[0] for each in made)


@pytest.mark.usefixtures("quick")
def test_a_second_owner_is_refused_with_the_name_of_the_first(url: str, space: SearchSpace) -> None:
    storage, other = opened(url, space), opened(url, space)
    with storage.owned():
        with pytest.raises(StudyError) as refused, other.owned():
            raise AssertionError("two own it")
        for part in (f"process {os.getpid()} on ", "since 2", "last heartbeat 2", "wait for it"):
            assert part in str(refused.value)
        storage.start(space.baseline)  # the first one goes on


@pytest.mark.usefixtures("quick")
def test_an_owner_elsewhere_that_beats_is_alive_whatever_its_clock_says(
    url: str, space: SearchSpace
) -> None:
    storage = opened(url, space)
    there = Owner.from_json(elsewhere(Owner.this_process("")))
    kept, ended = attribute(storage), threading.Event()
    assert kept.swap(None, there.as_json())

    def beat() -> None:
        now = there
        while not ended.wait(0.3):
            # Its clock does not even move.
            after = replace(now, beats=now.beats + 1)
            assert kept.swap(now.as_json(), after.as_json())
            now = after

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with pytest.raises(StudyError, match="on other"), storage.owned():
            raise AssertionError("it is alive")
    finally:
        ended.set()
        heart.join()
    # Now it is dead, though its clock, hours ahead, says that it has beaten only just now.
    with storage.owned():
        storage.start(space.baseline)


def test_an_owner_that_was_killed_here_is_known_to_be_gone_at_once(
    url: str, space: SearchSpace
) -> None:
    storage = opened(url, space)
    for number in (signal.SIGKILL, signal.SIGTERM):
        command = [sys.executable, "-c", SLEEPER, url]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"owned\n"
        assert storage.owner is not None and storage.owner.pid == process.pid
        process.send_signal(number)
        # Nobody waits for it yet: it is a zombie, which writes nothing any more.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert attribute(storage).read() is not None and storage.owner is None
        with storage.owned():  # without watching: that would take a minute
            assert storage.owner is not None and storage.owner.pid == os.getpid()
        process.communicate()


def test_a_process_id_that_was_given_to_another_process_is_no_owner(
    url: str, space: SearchSpace
) -> None:
    storage = opened(url, space)
    me = Owner.this_process("other")
    assert not replace(me, pid=os.getppid(), started=_started(os.getppid())).is_gone()
    reused = replace(me, pid=os.getppid(), started=_started(os.getppid()) - 1)
    assert reused.is_gone()
    assert attribute(storage).swap(None, reused.as_json())
    with storage.owned():
        storage.start(space.baseline)


def _started(pid: int) -> int:
    return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])


def test_after_a_reboot_or_in_another_container_nobody_is_known_to_be_gone() -> None:
    me = replace(Owner.this_process(""), pid=2**22 + 1)  # no such process
    host, boot, namespace = me.place.split()
    assert me.is_gone()
    assert not replace(me, place=f"{host} another-boot {namespace}").is_gone()
    assert not replace(me, place=f"{host} {boot} pid:[1]").is_gone()
    assert not replace(me, place="").is_gone()


@pytest.mark.usefixtures("quick")
def test_who_was_taken_for_dead_commits_nothing_any_more(
    url: str, space: SearchSpace, make_record: Callable[..., TrialRecord]
) -> None:
    slow, quick = opened(url, space), opened(url, space)
    with slow.owned():
        number = slow.start(space.baseline)
        slow._ownership._ended.set()  # type: ignore[union-attr]  # its heart stands still
        slow._ownership._heart.join()  # type: ignore[union-attr]
        with quick.owned():
            before = optuna.load_study(study_name="study", storage=url)
            before_trials, before_attributes = before.trials, before.user_attrs
            record = replace(make_record(number, {"accuracy": 0.9}), candidate=space.baseline)
            for write in (
                lambda: slow.start(space.informative()[1]),
                lambda: slow.hold(record),
                lambda: slow.finish(record, GOALS),
                lambda: slow._close(record, GOALS),
                lambda: slow.end("the end", "FINISHED"),
                slow.check_owner,
            ):
                with pytest.raises(StudyError, match=r"taken over by process .* because"):
                    write()
            after = optuna.load_study(study_name="study", storage=url)
            assert after.trials == before_trials
            assert set(after.user_attrs) == set(before_attributes)
            [trial] = quick.recover(GOALS)
            assert trial.number == number
            quick.finish(record, GOALS)
        assert [each.number for each in quick.records()] == [number]
    assert attribute(slow).read() is None


@pytest.mark.usefixtures("quick")
def test_a_heart_finds_out_by_itself_that_the_study_was_taken(url: str, space: SearchSpace) -> None:
    storage = opened(url, space)
    with storage.owned():
        kept = attribute(storage)
        while not kept.swap(now := kept.read(), elsewhere(Owner.from_json(now or ""))):
            pass
        ownership_ = storage._ownership
        assert ownership_ is not None
        ownership_._heart.join(timeout=60)
        with pytest.raises(StudyError, match=r"taken over by process .* on other"):
            storage.check_owner()
    assert kept.read() is not None  # what is the other one's is not let go


def test_of_many_newcomers_one_wins(url: str, space: SearchSpace) -> None:
    gone = replace(Owner.this_process("dead"), pid=2**22 + 1)
    storages = [opened(url, space) for _ in range(6)]
    for seen in (None, gone.as_json()):
        if seen:
            assert attribute(storages[0]).swap(None, seen)
        barrier, won = threading.Barrier(len(storages)), []

        def take(
            storage: StudyStorage,
            seen: str | None = seen,
            barrier: threading.Barrier = barrier,
            won: list[str] = won,
        ) -> None:
            mine = Owner.this_process(str(id(storage))).as_json()
            barrier.wait()
            if attribute(storage).swap(seen, mine):
                won.append(mine)

        threads = [threading.Thread(target=take, args=(storage,)) for storage in storages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and attribute(storages[0]).read() == won[0]
        assert attribute(storages[0]).swap(won[0], None)


@pytest.mark.usefixtures("quick")
def test_a_beat_whose_answer_was_lost_is_no_loss(
    url: str, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, swap = opened(url, space), StudyAttribute.swap
    lost = threading.Event()

    def without_answer(kept: StudyAttribute, old: str | None, new: str | None) -> bool:
        done = swap(kept, old, new)
        if new is not None and not lost.is_set():
            lost.set()
            raise optuna.exceptions.StorageInternalError("the connection was closed")
        return done

    monkeypatch.setattr(StudyAttribute, "swap", without_answer)
    monkeypatch.setattr("paretune.search.storage.patience._RETRY_S", 0.01)
    with storage.owned():  # the answer to the first name is lost
        storage.check_owner()
        lost.clear()
        assert lost.wait(60)  # that to a beat
        beats = storage.owner.beats if storage.owner else 0
        while storage.owner is not None and storage.owner.beats < beats + 3:
            storage.check_owner()
        storage.start(space.baseline)
    assert attribute(storage).read() is None


def test_what_a_later_version_adds_to_an_owner_is_left_out() -> None:
    me = Owner.this_process("token")
    assert Owner.from_json(me.as_json()) == me
    assert Owner.from_json(me.as_json()[:-1] + ', "colour": "red"}') == me


def test_a_storage_that_is_read_only_says_so_at_once(
    tmp_path: Path, space: SearchSpace, caplog: pytest.LogCaptureFixture
) -> None:
    opened(f"sqlite:///{tmp_path}/optuna.db", space)
    storage = StudyStorage(f"sqlite:///file:{tmp_path}/optuna.db?mode=ro&uri=true", "study")
    with pytest.raises(StudyError, match="readonly database"), storage.owned():
        raise AssertionError("it cannot be owned")
    assert "trying again" not in caplog.text
    assert storage.owner is None  # reading needs no owner


@pytest.mark.usefixtures("quick")
def test_a_round_of_confirmation_begins_only_while_the_study_is_owned(
    url: str, space: SearchSpace
) -> None:
    storage, rounds = opened(url, space), []
    progress = storage.while_owned(lambda *state: rounds.append(state))
    with storage.owned():
        progress(1, 2, 3)
        kept = attribute(storage)
        while not kept.swap(now := kept.read(), elsewhere(Owner.from_json(now or ""))):
            pass
        assert storage._ownership is not None
        storage._ownership._heart.join(timeout=60)
        with pytest.raises(StudyError, match="taken over"):
            progress(2, 2, 3)
    assert rounds == [(1, 2, 3)]
