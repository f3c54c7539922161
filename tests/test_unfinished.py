"""Trials in flight: finished when there is time, and never blamed for others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BUILT_SPACE, write_study

import paretune
from paretune.runners.measure.evaluator import Evaluator
from paretune.search.configure.schema import StudyPaths
from paretune.search.configure.study_file import read_study_file
from paretune.search.propose.cost import CostModel
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.under_way import UnderWay
from paretune.search.storage.study_storage import StudyStorage
from paretune.spaces import Candidate, SearchSpace

GOALS = default_objectives("accuracy")


def leave_in_flight(study: Path, space: SearchSpace, candidates: list[Candidate]) -> list[int]:
    """Begin trials of a study and abandon them, as a killed process does."""
    storage = StudyStorage(paths(study).storage_url, "iris")
    definition = {k: v for k, v in (storage.definition or {}).items() if k != "uid"}
    storage.create(definition, GOALS, space)
    return [storage.start(candidate) for candidate in candidates]


def paths(study: Path) -> StudyPaths:
    return StudyPaths(read_study_file(study), study)


def in_flight(study: Path) -> list[int]:
    found = StudyStorage(paths(study).storage_url, "iris").recover(GOALS)
    return [trial.number for trial in found]


def untried(history: History, space: SearchSpace) -> Iterator[Candidate]:
    tried = {record.candidate for record in history.records}
    return (candidate for candidate in space.candidates() if candidate not in tried)


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_what_cannot_be_afforded_is_passed_over_and_kept_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = SearchSpace.from_values(BUILT_SPACE)
    strategy = {"sampler": "exhaustive"}
    study = write_study(tmp_path, space=BUILT_SPACE, tracking=False, strategy=strategy)
    history = paretune.run(study, trials=2).history
    free = untried(history, space)
    dear, cheap = next(free), next(free)
    assert leave_in_flight(study, space, [dear, cheap]) == [2, 3]
    seconds = CostModel.seconds

    def expected(model: CostModel, candidate: Candidate) -> float:
        return 1e9 if candidate == dear else seconds(model, candidate)

    with monkeypatch.context() as patch:
        patch.setattr(CostModel, "seconds", expected)
        result = paretune.run(study, trials=5, hours=1)
    # The next unfinished one was taken, then a new one, and no other instead of the dear one.
    assert [record.number for record in result.history.records] == [0, 1, 3, 4]
    assert result.reason == "no further trial can finish in the search's share of 1 h"
    assert in_flight(study) == [2]
    result = paretune.run(study, trials=5)
    assert [record.number for record in result.history.records] == [0, 1, 3, 4, 2]
    assert len({record.candidate for record in result.history.records}) == 5
    assert not result.history.failed and not in_flight(study)


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_errors_of_the_study_are_blamed_on_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = {"trials": 4, "build_workers": 2}
    study = write_study(tmp_path, space=BUILT_SPACE, tracking=False, budget=budget)
    measure = Evaluator.measure
    note = paths(study).under_way

    def broken(*arguments: Any) -> Any:
        assert note.exists()
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "measure", broken)
        for _ in range(3):  # so often, and a death would be the trial's fault
            with pytest.raises(RuntimeError, match="a bug"):
                paretune.run(study)
            assert not note.exists()
    noted: list[tuple[Candidate, tuple[int, ...]]] = []

    def spied(evaluator: Evaluator, artifact: str, run: Any, samples: Any) -> Any:
        death = UnderWay(note).death()
        assert death is not None
        noted.append((run, death.numbers))
        return measure(evaluator, artifact, run, samples)

    monkeypatch.setattr(Evaluator, "measure", spied)
    history = paretune.run(study).history
    assert len(history.measured) == 4 and not history.failed
    # While something is measured, it is among what may have killed the process.
    for record in history.records:
        assert any(run == record.candidate.run and record.number in n for run, n in noted)
    assert not note.exists()


@pytest.mark.slow
def test_what_was_measured_before_an_error_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path, tracking=False, budget={"trials": 2})
    measure = Evaluator.measure
    measured: list[Any] = []

    def spied(evaluator: Evaluator, artifact: str, run: Any, samples: Any) -> Any:
        measured.append(measure(evaluator, artifact, run, samples))
        return measured[-1]

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Evaluator, "measure", spied)
    with monkeypatch.context() as patch:
        patch.setattr(StudyStorage, "finish", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            paretune.run(study)
    assert len(measured) == 1 and in_flight(study) == [0]
    records = paretune.run(study).history.records
    kept = [record.measurement.samples for record in records if record.measurement]
    assert kept == [each.samples for each in measured]  # the digest of all timed calls
    assert records[0].stage_seconds["reference"] > 0  # what the trial itself has spent, then
