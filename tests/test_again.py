"""`search --again`: what was published is measured again; the search goes on only if it moved."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from conftest import QUICK, QUICK_CONFIRMATION, run_paretune
from onnx_models import perceptron, samples

import paretune
from paretune.runners.measure.statistic import Statistic
from paretune.search.configure.study_of_onnx import write_onnx_study
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Objective
from paretune.search.record.trial import TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.storage.confirmed_points import ConfirmedPoints
from paretune.search.study.again.change import Change, environment_changes
from paretune.search.study.again.comparison import Standing, compare
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import StudyError

Make = Callable[..., TrialRecord]


def test_a_ratio_has_the_intervals_of_both() -> None:
    same = Change(1, "latency_p95_ms", Statistic(2.0, 1.8, 2.2), Statistic(2.1, 1.9, 2.3))
    assert not same.has_left and same.ratio.value == pytest.approx(1.05)
    low, high = same.ratio.ends
    assert 0.9 < low < 1.0 < 1.05 < high < 1.2
    # Two intervals of one width: the ratio's is as wide as each, because both are of a repetition.
    assert high / 1.05 == pytest.approx(1.1, abs=0.01)
    few = Change(1, "latency_p95_ms", Statistic(2.0, -1.0, 5.0), Statistic(2.0, 1.9, 2.1))
    assert 0 < few.ratio.ends[0] < 0.6
    slower = Change(1, "latency_p95_ms", Statistic(2.0, 1.8, 2.2), Statistic(2.5, 2.4, 2.6))
    assert slower.has_left and "1.25 ×" in slower.text and "outside" in slower.text


def test_a_quality_on_the_same_samples_is_exact() -> None:
    before = Statistic(0.9, 0.8, 0.95)
    assert not Change(1, "accuracy", before, Statistic(0.9, 0.8, 0.95)).has_left
    moved = Change(1, "accuracy", before, Statistic(0.89, 0.8, 0.95))
    assert moved.has_left and moved.ratio.value == pytest.approx(-0.01)


def published(make: Make, values: Mapping[int, tuple[float, float]]) -> tuple[History, Any]:
    """Return a study with published points (accuracy, ms), and what makes fresh ones of them."""
    goals = [Objective("accuracy", "maximize"), Objective("latency_p95_ms", "minimize")]
    records = [
        make(number, {"accuracy": accuracy, "latency_p95_ms": ms})
        for number, (accuracy, ms) in values.items()
    ]
    history = History(goals, records=records, wish=Wish(max_latency_ms=3.0))

    def points(changed: Mapping[int, tuple[float, float]], **lost: float) -> list[Confirmed]:
        found = []
        for record in records:
            accuracy, ms = (values | dict(changed))[record.number]
            old = record.measurement
            assert old is not None
            statistics = {
                **old.statistics,
                "accuracy": Statistic(accuracy),
                "latency_p95_ms": Statistic(ms, 0.95 * ms, 1.05 * ms),
            }
            chance = lost.get(f"trial_{record.number}", 0.99)
            found.append(
                Confirmed(
                    record.number,
                    replace(old, statistics=statistics),
                    chance,
                    is_published=chance > 0.5,
                    why_not="" if chance > 0.5 else "trial 9 is no worse",
                )
            )
        return found

    history.confirmed = points({})
    return history, points


THREE = {0: (0.95, 4.0), 1: (0.9, 2.0), 2: (0.8, 1.0)}


def test_values_within_their_intervals_hold(make_record: Make) -> None:
    history, points = published(make_record, THREE)
    found = compare(history, points({1: (0.9, 2.05)}))
    assert found.standing is Standing.HOLDS and not found.reasons
    assert any("trial 1: " in line and "1.02 ×" in line for line in found.lines)


def test_a_machine_that_is_slower_as_a_whole_has_shifted(make_record: Make) -> None:
    history, points = published(make_record, THREE)
    found = compare(history, points({n: (a, 1.2 * ms) for n, (a, ms) in THREE.items()}))
    assert found.standing is Standing.SHIFTED and not found.reasons


def test_what_moves_a_frontier(make_record: Make) -> None:
    history, points = published(make_record, THREE)
    left = compare(history, points({}, trial_1=0.1))
    assert left.standing is Standing.MOVED
    assert "trial 1 left the frontier: trial 9 is no worse" in left.reasons
    order = compare(history, points({2: (0.8, 2.2)}))
    assert order.reasons == ("trial 2 was better than trial 1 in latency_p95_ms, and now is worse",)
    pick = compare(history, points({1: (0.9, 3.5)}))
    assert pick.reasons == ("the wish picked trial 1, and now picks trial 2",)
    gone = compare(history, points({})[:2])
    assert "trial 2 could not be measured any more" in gone.reasons


def test_what_is_different_now_is_told(make_record: Make) -> None:
    _, points = published(make_record, THREE)
    environment = {"system": "Linux 6.1", "governor": "performance", "onnxruntime": "1.31"}

    def seen(changes: Mapping[str, str], canary_ms: float) -> list[Confirmed]:
        return [
            replace(
                point,
                measurement=replace(
                    point.measurement, environment=environment | changes, canary_ms=canary_ms
                ),
            )
            for point in points({})
        ]

    now = {"onnxruntime": "1.32", "governor": "powersave", "microcode": "0x1"}
    assert environment_changes(seen({}, 0.1), seen(now, 0.12)) == [
        "governor: performance → powersave",
        "onnxruntime: 1.31 → 1.32",
        "the core itself takes 1.20 × as long for the same arithmetic",
    ]
    first, *rest = seen({}, 0.1)
    busy = replace(first, measurement=replace(first.measurement, host_was_idle=False))
    [told] = environment_changes(seen({}, 0.1), [busy, *rest])
    assert told.startswith("other work ran on this machine while 1 of 3 points were measured")


def test_earlier_confirmations_stay_to_be_seen(make_record: Make) -> None:
    _, points = published(make_record, THREE)
    kept: dict[str, Any] = {}
    for number in range(3):
        found = ConfirmedPoints(points({1: (0.9, 2.0 + number)}), number, {"split": "test"})
        found.write(kept.__setitem__, dict(kept))
    earlier = ConfirmedPoints.read_earlier(kept)
    assert [each.trials for each in earlier] == [0, 1]
    assert [each.points[1].metrics["latency_p95_ms"] for each in earlier] == [2.0, 3.0]
    assert all(each.at is not None for each in earlier)
    assert ConfirmedPoints.read(kept).trials == 2
    assert ConfirmedPoints.read_earlier({}) == []


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a file whose objectives do not depend on the machine: quality and size."""
    folder = tmp_path_factory.mktemp("again")
    rng = np.random.default_rng(0)
    onnx.save(perceptron(rng), folder / "model.onnx")
    np.savez(folder / "samples.npz", **samples(rng))
    study = write_onnx_study(folder / "model.onnx", folder / "samples.npz", folder=folder / "study")
    values = yaml.safe_load(study.read_text("utf-8"))
    values |= {
        "space": {
            "quantization": ["fp32", "int8-dynamic", "int4-weight"],
            "execution_provider": ["CPUExecutionProvider"],
        },
        "objectives": [{"metric": "cosine_similarity"}, {"metric": "size_bytes"}],
        "budget": {"trials": 2},
        "strategy": {"sampler": "exhaustive"},
        "measurement": QUICK,
        "confirmation": QUICK_CONFIRMATION,
        "tracking": False,
    }
    values.pop("runners", None)
    study.write_text(yaml.safe_dump(values), "utf-8")
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    return study


@pytest.fixture
def study(searched: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(searched.parents[1], tmp_path / "copy")
    yield tmp_path / "copy" / "study" / searched.name


def widened(study: Path, change: Callable[[Confirmed], Confirmed] = lambda each: each) -> None:
    """Publish again, with times that any machine keeps, and with a change."""
    opened = OpenStudy(study)
    with opened.owned():
        known = opened.storage.confirmed()
        points = []
        for point in known.points:
            statistics = {
                name: Statistic(each.value, each.value / 1e3, each.value * 1e3)
                if "latency" in name
                else each
                for name, each in point.measurement.statistics.items()
            }
            measurement = replace(point.measurement, statistics=statistics)
            points.append(change(replace(point, measurement=measurement)))
        opened.storage.confirm(replace(known, points=points))


@pytest.mark.slow
def test_a_frontier_that_holds_is_not_searched(study: Path) -> None:
    widened(study)
    before = paretune.status(study)
    done = run_paretune("search", study, "--again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the published frontier holds" in done.stdout and "moved:" not in done.stdout
    assert re.search(r"trial 0: .*latency_p95_ms [\d.]+ → [\d.]+ \([\d.]+ ×", done.stdout)
    after = paretune.status(study)
    assert len(after.records) == len(before.records) == 2
    assert {p.number for p in after.published} == {p.number for p in before.published}
    old = {point.number: point.measurement.samples for point in before.confirmed}
    assert all(old[point.number] != point.measurement.samples for point in after.published)
    # What was published before stays to be seen.
    assert "published before, " in run_paretune("status", study).stdout
    assert run_paretune("doctor", study).returncode == 0
    # Nothing is left to confirm: the plain command measures nothing.
    assert run_paretune("search", study).returncode == 0
    assert [p.measurement.samples for p in paretune.status(study).confirmed] == [
        p.measurement.samples for p in after.confirmed
    ]


@pytest.mark.slow
def test_a_frontier_that_moved_is_searched_on(study: Path) -> None:
    def smaller(point: Confirmed) -> Confirmed:
        """Publish the baseline as smaller than the quantized file."""
        if point.number != 0:
            return point
        statistics = {**point.measurement.statistics, "size_bytes": Statistic(10.0)}
        return replace(point, measurement=replace(point.measurement, statistics=statistics))

    widened(study, smaller)
    done = run_paretune("search", study, "--again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"moved: trial 0 was better than trial \d+ in size_bytes", done.stdout)
    after = paretune.status(study)
    assert len(after.records) == 3  # at least a quarter of the budget more
    confirmed = OpenStudy(study).storage.confirmed()
    assert confirmed.trials == 3 and not confirmed.has_moved
    assert run_paretune("doctor", study).returncode == 0


@pytest.mark.slow
def test_a_search_that_was_cut_short_is_taken_up_again(study: Path) -> None:
    widened(study)
    opened = OpenStudy(study)
    with opened.owned():
        opened.storage.confirm(replace(opened.storage.confirmed(), trials=0, has_moved=True))
    done = run_paretune("search", study, "--again", "--trials", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it had moved before" in done.stdout
    assert len(paretune.status(study).records) == 3


@pytest.mark.slow
def test_too_little_time_publishes_nothing(study: Path) -> None:
    before = [point.as_dict() for point in paretune.status(study).confirmed]
    with pytest.raises(StudyError, match="the time was too short"):
        paretune.run(study, again=True, hours=1e-6)
    assert [point.as_dict() for point in paretune.status(study).confirmed] == before


@pytest.mark.slow
def test_a_missing_file_is_told_and_not_built(study: Path) -> None:
    opened = OpenStudy(study)
    for point in paretune.status(study).published:
        path = opened.store.get(point.measurement.artifact)
        assert path is not None
        path.unlink()
    done = run_paretune("search", study, "--again")
    assert done.returncode == 1 and "--again builds nothing" in done.stderr


@pytest.mark.slow
def test_another_machine_is_refused(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paretune.search.study.again import remeasuring

    here = remeasuring.fingerprint() | {"processor": "Another Processor"}
    monkeypatch.setattr(remeasuring, "fingerprint", lambda: here)
    with pytest.raises(StudyError, match=r"values are from another: .*warm_start: study\.yaml"):
        paretune.run(study, again=True)


@pytest.mark.slow
def test_it_goes_alone(tmp_path: Path, study: Path) -> None:
    done = run_paretune("search", study, "--again", "--join")
    assert done.returncode == 2 and "--again cannot be combined with --join" in done.stderr
    (tmp_path / "new").mkdir()
    fresh = shutil.copy(study, tmp_path / "new" / "study.yaml")
    for file in study.parent.glob("*.py"):
        shutil.copy(file, tmp_path / "new")
    text = Path(fresh).read_text("utf-8").replace("name:", "name: other-", 1)
    Path(fresh).write_text(text.replace("other- ", "other-"), "utf-8")
    done = run_paretune("search", fresh, "--again")
    assert done.returncode == 1 and "paretune search" in done.stderr
