"""Trials in work when a process died, and trials that only waited."""

from pathlib import Path

import pytest

from paretune.search.record.under_way import UnderWay


def test_a_death_names_what_was_under_way_last(tmp_path: Path) -> None:
    path = tmp_path / "iris.running"
    first = UnderWay(path)
    assert first.death() is None
    first.note([3])
    first.note([5, 3])
    death = UnderWay(path).death()
    assert death is not None and death.numbers == (3, 5)
    second = UnderWay(path)
    second.note([7])
    later = UnderWay(path).death()
    assert later is not None and later.numbers == (7,) and later.session != death.session


def test_whatever_ends_it_by_itself_blames_nothing(tmp_path: Path) -> None:
    path = tmp_path / "iris.running"
    for error in (KeyboardInterrupt, OSError, RuntimeError):
        with pytest.raises(error), UnderWay(path) as under_way:
            under_way.note([3])
            raise error
        assert UnderWay(path).death() is None
    with UnderWay(path) as under_way:
        under_way.note([3])
    assert UnderWay(path).death() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"session": "a"}'])
def test_a_note_cut_off_by_a_kill_blames_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "iris.running"
    path.write_text(text)
    assert UnderWay(path).death() is None


def test_a_note_that_cannot_be_written_blames_nothing(tmp_path: Path) -> None:
    path = tmp_path / "iris.running"
    under_way = UnderWay(path)
    under_way.note([3])
    path.unlink()
    path.symlink_to("/dev/full")  # as a disk that is full
    under_way.note([4])
    assert UnderWay(path).death() is None
    path.symlink_to(tmp_path / "nowhere" / "file")
    under_way.note([5])
    assert UnderWay(path).death() is None
