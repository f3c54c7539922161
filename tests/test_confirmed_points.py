"""A confirmation is stored completely or not at all; a partial one never replaces a full one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import BUILT_SPACE, QUICK_CONFIRMATION, write_study

import paretune
from paretune.search.confirm.pace import ConfirmationProgress
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.trial import TrialRecord
from paretune.search.review.terminal.plain_reporter import PlainReporter
from paretune.search.storage.confirmed_points import ConfirmedPoints

Make = Callable[..., TrialRecord]


def point(number: int, make: Make, launches: int = 3) -> Confirmed:
    measurement = make(number, {"accuracy": 0.9}).measurement
    assert measurement is not None
    return Confirmed(number, replace(measurement, launches=launches), 0.5, number == 0)


def test_a_confirmation_comes_back_as_it_went_in(make_record: Make) -> None:
    attributes: dict[str, Any] = {}
    assert ConfirmedPoints.read(attributes) == ConfirmedPoints((), 0, None)
    found = ConfirmedPoints([point(n, make_record) for n in (0, 4)], 7, {"digest": "1"})
    found.write(attributes.__setitem__)
    assert ConfirmedPoints.read(attributes) == found


def test_killed_at_any_write_it_leaves_the_last_confirmation_whole(make_record: Make) -> None:
    before = ConfirmedPoints([point(n, make_record, 10) for n in range(4)], 7, {"digest": "1"})
    after = ConfirmedPoints([point(n, make_record, 2) for n in range(3)], 9, {"digest": "2"})
    for writes in range(5):
        attributes: dict[str, Any] = {}
        before.write(attributes.__setitem__)
        left = writes

        def put(key: str, value: Any, kept: dict[str, Any] = attributes) -> None:
            nonlocal left
            if not left:
                raise SystemExit("killed")
            left -= 1
            kept[key] = value

        try:
            after.write(put)
        except SystemExit:
            assert ConfirmedPoints.read(attributes) == before
        else:
            assert writes == 4 and ConfirmedPoints.read(attributes) == after


def test_points_of_earlier_versions_are_read(make_record: Make) -> None:
    points = [point(n, make_record) for n in (2, 5)]
    attributes: dict[str, Any] = {
        f"paretune_confirmed:{each.number}": each.as_dict() for each in points
    }
    index = {"trials": 6, "numbers": [2, 5], "samples": {"digest": "1"}}
    attributes["paretune_confirmed"] = index
    found = ConfirmedPoints.read(attributes)
    assert found == ConfirmedPoints(points, 6, {"digest": "1"})
    later = ConfirmedPoints(points[:1], 8, {"digest": "1"})
    later.write(attributes.__setitem__)
    assert ConfirmedPoints.read(attributes) == later


@pytest.mark.parametrize(
    ("points", "launches", "is_kept"),
    [(12, 10, False), (46, 2, False), (50, 2, False), (46, 10, True), (50, 12, True)],
)
def test_what_was_cut_short_replaces_only_what_it_covers(
    make_record: Make, points: int, launches: int, is_kept: bool
) -> None:
    whole = ConfirmedPoints([point(n, make_record, 10) for n in range(46)])
    cut = ConfirmedPoints([point(n, make_record, launches) for n in range(points)])
    assert cut.may_replace(whole) == is_kept
    assert cut.may_replace(ConfirmedPoints())


def test_further_points_may_have_fewer_launches(make_record: Make) -> None:
    earlier = ConfirmedPoints([point(n, make_record, 5) for n in (0, 4)])
    more = [point(n, make_record, 4) for n in (2, 3)]
    assert ConfirmedPoints([point(0, make_record, 5), *more]).may_replace(earlier)
    assert not ConfirmedPoints([point(0, make_record, 4), *more]).may_replace(earlier)


class Impatient(PlainReporter):
    """Presses Ctrl-C when a round of confirmation begins."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self.until = until

    def confirming(self, progress: ConfirmationProgress) -> None:
        if progress.round == self.until:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_ctrl_c_never_replaces_a_fuller_confirmation(tmp_path: Path) -> None:
    longer = QUICK_CONFIRMATION | {"launches": 4, "max_launches": 4}
    study = write_study(
        tmp_path,
        space=BUILT_SPACE,
        confirmation=longer,
        budget={"trials": 3},
        tracking=False,
    )

    def launches() -> int:
        return min(point.measurement.launches for point in paretune.status(study).confirmed)

    with pytest.raises(KeyboardInterrupt):
        paretune.run(study, reporter=Impatient(3))
    assert launches() == 2  # better than nothing
    with pytest.raises(KeyboardInterrupt):
        paretune.confirm(study, reporter=Impatient(4))
    assert launches() == 3
    paretune.confirm(study)
    whole = [point.as_dict() for point in paretune.status(study).confirmed]
    assert launches() == 4
    with pytest.raises(KeyboardInterrupt):
        paretune.confirm(study, reporter=Impatient(3))
    assert [point.as_dict() for point in paretune.status(study).confirmed] == whole
