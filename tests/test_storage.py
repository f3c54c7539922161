from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import Skip, TrialRecord
from paretune.search.record.under_way import Death
from paretune.search.storage.definition import CODE
from paretune.search.storage.study_attribute import StudyAttribute
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import OPTIONAL_AXES, SearchSpace, StudyError

Make = Callable[..., TrialRecord]
GOALS = default_objectives("accuracy")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def opened(url: str, space: SearchSpace) -> StudyStorage:
    storage = StudyStorage(url, "study")
    storage.create({"workload": "w"}, GOALS, space)
    return storage


def test_a_study_that_is_not_there(url: str) -> None:
    assert StudyStorage(url, "study").definition is None


def test_a_storage_that_cannot_be_opened() -> None:
    with pytest.raises(StudyError, match="cannot open"):
        StudyStorage("sqlite:////no/such/folder/optuna.db", "study")


def test_records_come_back_as_they_went_in(url: str, space: SearchSpace, make_record: Make) -> None:
    storage = opened(url, space)
    for number in range(3):
        record = make_record(number, {"accuracy": 0.9} if number != 1 else None)
        assert storage.start(space.informative()[number]) == number
        storage.finish(record, GOALS)
    again = opened(url, space)
    assert [record.as_dict() for record in again.records()] == [
        make_record(n, {"accuracy": 0.9} if n != 1 else None).as_dict() for n in range(3)
    ]
    assert again.recover(GOALS) == []


def test_each_outcome_has_its_state_in_optuna(
    url: str, space: SearchSpace, make_record: Make
) -> None:
    storage = opened(url, space)
    numbers = [storage.start(candidate) for candidate in space.informative()[:3]]
    measured = make_record(numbers[0], {"accuracy": 0.9})
    assert measured.measurement is not None
    skip = Skip("distill", "too slow", 0.5, measured.measurement)
    storage.finish(replace(measured, number=numbers[1], outcome=skip), GOALS)
    storage.finish(measured, GOALS)
    storage.finish(make_record(numbers[2], None), GOALS)
    trials = optuna.load_study(study_name="study", storage=url).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert trials[0].values == [measured.metrics[goal.metric] for goal in GOALS]
    assert [record.skip for record in opened(url, space).records()] == [None, skip, None]


def test_what_is_finished_while_it_is_open_is_read_at_once(
    url: str, space: SearchSpace, make_record: Make
) -> None:
    storage = opened(url, space)
    for number, candidate in enumerate(space.informative()[:3]):
        assert len(storage.records()) == number
        storage.finish(make_record(storage.start(candidate), {"accuracy": 0.9}), GOALS)
    storage.start(space.informative()[3])
    assert [record.number for record in storage.records()] == [0, 1, 2]
    assert [trial.number for trial in storage.recover(GOALS)] == [3]


def test_a_trial_in_flight_is_started_again_under_its_number(url: str, space: SearchSpace) -> None:
    opened(url, space).start(space.baseline)
    again = opened(url, space)
    [trial] = again.recover(GOALS)
    assert (trial.number, trial.candidate, trial.deaths) == (0, space.baseline, 0)


def test_a_death_counts_once_and_only_against_what_was_under_way(
    url: str, space: SearchSpace, make_record: Make
) -> None:
    storage = opened(url, space)
    for candidate in space.informative()[:2]:
        storage.start(candidate)

    def deaths(death: Death | None) -> list[int]:
        return [trial.deaths for trial in opened(url, space).recover(GOALS, death)]

    assert deaths(None) == [0, 0]
    assert deaths(Death("first", (1,))) == [0, 1]
    # The next process was killed before it had begun anything: it finds the same note again.
    assert deaths(Death("first", (1,))) == [0, 1]
    assert deaths(Death("second", (0, 1))) == [1, 2]
    assert deaths(None) == [1, 2]
    storage.hold(make_record(1, None))
    assert deaths(None) == [1, 0]


def test_a_process_killed_between_record_and_state_loses_nothing(
    url: str, space: SearchSpace, make_record: Make
) -> None:
    storage = opened(url, space)
    record = make_record(storage.start(space.baseline), {"accuracy": 0.9})
    storage.hold(record)
    again = opened(url, space)
    assert again.records() == []
    assert again.recover(GOALS) == []
    assert [r.number for r in again.records()] == [0]


def test_a_held_failure_is_tried_again(url: str, space: SearchSpace, make_record: Make) -> None:
    storage = opened(url, space)
    storage.hold(make_record(storage.start(space.baseline), None))
    assert [trial.number for trial in opened(url, space).recover(GOALS)] == [0]


def test_a_changed_study_needs_a_new_name(url: str, space: SearchSpace) -> None:
    opened(url, space)
    with pytest.raises(
        StudyError,
        match="another workload: undo the change, or give the changed study another `name`",
    ):
        StudyStorage(url, "study").create({"workload": "other"}, GOALS, space)


def test_a_study_from_before_an_axis_existed_continues(url: str, space: SearchSpace) -> None:
    old = {"student": ["reference"], "fp32_layer_share": [0.0]}
    StudyStorage(url, "study").create({"space": old}, GOALS, space)
    now = {**old, "graph_optimization": ["all"]}
    StudyStorage(url, "study").create({"space": now}, GOALS, space)
    with pytest.raises(StudyError, match=r"another space \(graph_optimization\): undo"):
        StudyStorage(url, "study").create(
            {"space": {**now, "graph_optimization": ["all", "basic"]}}, GOALS, space
        )


def test_a_student_left_out_is_a_change_of_the_space_alone(url: str, space: SearchSpace) -> None:
    def definition(*students: str, data: str = "1") -> dict[str, Any]:
        code = {f"the model {name}": name for name in students} | {"the data": data}
        space = {**OPTIONAL_AXES, "student": ["reference", *students]}
        return {"space": space, CODE: code}

    StudyStorage(url, "study").create(definition("half", "tiny"), GOALS, space)
    with pytest.raises(StudyError, match=r"another space \(student\): undo"):
        StudyStorage(url, "study").create(definition("tiny", "mini"), GOALS, space)
    with pytest.raises(StudyError, match=r"space \(student\), .* \(the data\)"):
        StudyStorage(url, "study").create(definition("tiny", data="2"), GOALS, space)


def test_a_storage_that_is_no_database_says_so_at_once(tmp_path: Path) -> None:
    database = tmp_path / "optuna.db"
    storage = StudyStorage(f"sqlite:///{database}", "iris")
    del storage
    database.write_bytes(b"not SQLite" * 1000)
    with pytest.raises(StudyError, match="not a database"):
        _ = StudyStorage(f"sqlite:///{database}", "iris").definition


def test_a_storage_that_turned_to_garbage_says_so_at_once(
    url: str,
    tmp_path: Path,
    space: SearchSpace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("paretune.search.storage.patience._PATIENCE_S", 1.0)
    storage = opened(url, space)
    (tmp_path / "optuna.db").write_bytes(b"no database" * 10_000)
    with pytest.raises(StudyError, match="does not answer"):
        storage.start(space.baseline)
    assert "trying again" not in caplog.text


def test_what_another_program_keeps_under_the_name_is_left_alone(
    url: str, space: SearchSpace
) -> None:
    directions = [goal.direction for goal in GOALS]
    study = optuna.create_study(storage=url, study_name="study", directions=directions)
    opened(url, space)  # an empty one is as good as none
    optuna.delete_study(study_name="study", storage=url)
    study = optuna.create_study(storage=url, study_name="study", directions=directions)
    study.add_trial(optuna.create_trial(values=[1.0] * len(GOALS)))
    with pytest.raises(StudyError, match="that Paretune did not create"):
        opened(url, space)
    assert optuna.load_study(study_name="study", storage=url).user_attrs == {}
    optuna.delete_study(study_name="study", storage=url)
    optuna.create_study(storage=url, study_name="study", directions=["minimize"])
    with pytest.raises(StudyError, match="another `name` or another `storage`"):
        opened(url, space)


def test_two_that_create_a_study_at_once_have_one(
    url: str, space: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap = StudyAttribute.swap

    def slower(attribute: StudyAttribute, old: str | None, new: str | None) -> bool:
        # Between the look at what is there and the write, the other one was quicker.
        monkeypatch.setattr(StudyAttribute, "swap", swap)
        definitions.append(opened(url, space).definition)
        return swap(attribute, old, new)

    definitions: list[object] = []
    monkeypatch.setattr(StudyAttribute, "swap", slower)
    assert [opened(url, space).definition] == definitions
