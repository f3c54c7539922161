"""The tests of `paretune watch`: how often they are wrong, and how soon they are right."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, poisson
from watched_series import PACE_S, latencies, see

from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.watch.data_reference import DataReference, features_of
from paretune.search.deliver.watch.drift import DriftWatch, stability_index, two_sample
from paretune.search.deliver.watch.e_detector import BASE_RATE, EDetector
from paretune.search.deliver.watch.event import Event, Kind
from paretune.search.deliver.watch.latency_reference import FEWEST_BLOCKS, LatencyReference
from paretune.search.deliver.watch.observation import Block, Failed, Request
from paretune.search.deliver.watch.settings import WatchSettings
from paretune.search.deliver.watch.track import Track, Turn
from paretune.search.deliver.watch.watcher import EXIT_DEGRADED, EXIT_DIFFERENT, Watcher
from paretune.spaces import StudyError

SETTINGS = WatchSettings(spike_s=10.0)


def first_alarm(events: Iterator[tuple[int, Event]]) -> tuple[int, Event] | None:
    return next(((place, event) for place, event in events if event.kind.is_alarm), None)


def kinds(events: Iterator[tuple[int, Event]]) -> list[Kind]:
    return [event.kind for _, event in events]


def learnt(rng: np.random.Generator, settings: WatchSettings = SETTINGS) -> Watcher:
    watcher = Watcher(settings, learn=500)
    told = list(see(watcher, latencies(rng, 520), -520 * PACE_S))
    assert [event.kind for _, event in told] == [Kind.STARTED]
    return watcher


def test_the_detector_keeps_its_average_run_length_at_the_worst_rate() -> None:
    rng, every, lengths = np.random.default_rng(0), 50.0, []
    for _ in range(200):
        detector, length = EDetector(), 1
        while detector.see(bool(rng.random() < BASE_RATE)) < every:
            length += 1
        lengths.append(length)
    mean, error = np.mean(lengths), np.std(lengths) / len(lengths) ** 0.5
    assert mean - 3 * error > every
    # A detector that never speaks would keep it, too: excesses that come twice as often are found
    # in a fraction of that.
    assert np.median(lengths) > 10
    detector = EDetector()
    assert next(n for n in range(1, 100) if detector.see(True) >= every) <= 3


def test_a_bet_pays_nothing_on_average_at_the_base_rate() -> None:
    detector, calm = EDetector(), EDetector()
    mean = BASE_RATE * detector.see(True) + (1 - BASE_RATE) * calm.see(False)
    assert mean == pytest.approx(1.0)


def test_false_alarms_keep_the_stated_rate_on_heavy_tailed_dependent_series() -> None:
    settings = WatchSettings(false_alarm_every=5_000)
    runs, length, alarms = 40, 2_000, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        watcher = learnt(rng, settings)
        alarms += first_alarm(see(watcher, latencies(rng, length))) is not None
    assert alarms <= poisson.ppf(0.999, runs * length / settings.false_alarm_every)


def test_a_slow_down_of_a_fifth_is_found_soon_and_told_with_its_size() -> None:
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        watcher = learnt(rng)
        assert first_alarm(see(watcher, latencies(rng, 600))) is None
        alarm = first_alarm(see(watcher, 1.2 * latencies(rng, 600), 600 * PACE_S))
        assert alarm is not None
        place, event = alarm
        found.append(place)
        assert event.kind is Kind.DEGRADED and event.what == "latency"
        assert event.low is not None and event.high is not None
        assert event.low < 1.2 < event.high or abs((event.ratio or 0) - 1.2) < 0.06
        assert abs(event.since_s - 600 * PACE_S) <= 4 * 20 * PACE_S
        assert watcher.exit_code == EXIT_DEGRADED
    assert np.median(found) <= 160 and max(found) <= 300


def test_a_spike_is_told_and_is_no_alarm(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    times = latencies(rng, 800)
    times[300:370] = 3 * latencies(rng, 70)  # seven seconds
    told = list(see(watcher, times))
    assert [event.kind for _, event in told] == [Kind.SPIKE]
    _, event = told[0]
    assert event.ratio is not None and 2.5 < event.ratio < 3.5
    assert abs(event.since_s - 300 * PACE_S) <= 20 * PACE_S
    assert watcher.exit_code == 0


def test_one_slow_request_is_nothing(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    times = latencies(rng, 400)
    times[::80] *= 100
    assert not list(see(watcher, times))


def test_a_slower_tail_alone_is_found(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    times = latencies(rng, 1000)
    times[rng.random(1000) < 0.4] *= 3
    alarm = first_alarm(see(watcher, times))
    assert alarm is not None and alarm[0] < 400
    assert alarm[1].ratio is not None and alarm[1].ratio < 1.15


def test_a_restart_is_told_apart_and_its_cold_calls_are_not_counted(
    rng: np.random.Generator,
) -> None:
    watcher = learnt(rng)
    assert not list(see(watcher, latencies(rng, 100)))
    now = 100 * PACE_S
    away = [Request(now + k, None, Failed.UNREACHABLE) for k in range(8)]
    assert not [event for request in away for event in watcher.see(request)]
    after = latencies(rng, 500)
    after[:20] *= 10
    told = list(see(watcher, after, now + 8))
    assert [event.kind for _, event in told] == [Kind.RESTART]
    assert "8 requests unanswered" in told[0][1].text
    assert watcher.exit_code == 0


def test_a_pause_in_a_log_with_a_cold_call_is_a_restart_and_without_one_nothing(
    rng: np.random.Generator,
) -> None:
    watcher = learnt(rng)
    assert not list(see(watcher, latencies(rng, 100)))
    calm = np.full(100, 5.0)
    assert not list(see(watcher, calm, 60.0))
    cold = np.concatenate([[80.0], np.full(100, 5.0)])
    assert kinds(see(watcher, cold, 120.0)) == [Kind.RESTART]


def test_a_service_that_stays_away_is_down_until_it_answers(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    assert not list(see(watcher, latencies(rng, 100)))
    now = 100 * PACE_S
    told = [
        event
        for k in range(100)
        for event in watcher.see(Request(now + k, None, Failed.UNREACHABLE))
    ]
    assert [(event.kind, event.what) for event in told] == [(Kind.DEGRADED, "reachability")]
    assert told[0].time_s - now == pytest.approx(60, abs=2)
    assert watcher.exit_code == EXIT_DEGRADED
    assert kinds(see(watcher, latencies(rng, 400), now + 100)) == [Kind.RECOVERED]
    assert watcher.exit_code == 0


def test_a_lost_request_is_no_restart(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    assert not watcher.see(Request(0.0, None, Failed.UNREACHABLE))
    assert not list(see(watcher, latencies(rng, 200), 0.1))


def test_a_restart_that_stays_slow_is_found_as_a_degradation(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    for k in range(5):
        watcher.see(Request(k, None, Failed.UNREACHABLE))
    assert kinds(see(watcher, 1.4 * latencies(rng, 600), 5.0)) == [Kind.RESTART, Kind.DEGRADED]


def test_errors_are_found_and_recovered_from(rng: np.random.Generator) -> None:
    watcher = learnt(rng)

    def served(share: float, start_s: float) -> list[Event]:
        found: list[Event] = []
        for k, time in enumerate(latencies(rng, 600)):
            now = start_s + k * PACE_S
            bad = rng.random() < share
            request = Request(now, None, Failed.ERROR) if bad else Request(now, float(time))
            found += watcher.see(request)
        return found

    assert not served(0.005, 0.0)
    told = served(0.3, 60.0)
    assert (told[0].kind, told[0].what) == (Kind.DEGRADED, "errors")
    assert watcher.exit_code == EXIT_DEGRADED
    assert Kind.RECOVERED in [event.kind for event in served(0.0, 120.0)]
    assert watcher.exit_code == 0


def test_recovery_is_told_once(rng: np.random.Generator) -> None:
    watcher = learnt(rng)
    assert kinds(see(watcher, 1.5 * latencies(rng, 400))) == [Kind.DEGRADED]
    assert kinds(see(watcher, latencies(rng, 400), 40.0)) == [Kind.RECOVERED]
    assert watcher.exit_code == 0


def test_different_answers_are_told_after_a_few_and_one_is_forgiven() -> None:
    watcher = Watcher(SETTINGS, learn=500)
    same, other = "", "outputs differ by up to 3 %"
    told = [e for k in range(50) for e in watcher.see(Request(k, 5.0, difference=same))]
    told += watcher.see(Request(50, 5.0, difference=other))
    told += [e for k in range(50) for e in watcher.see(Request(51 + k, 5.0, difference=same))]
    assert not told
    told = [e for k in range(20) for e in watcher.see(Request(110 + k, 5.0, difference=other))]
    assert [e.kind for e in told] == [Kind.DIFFERENT_ANSWERS] and other in told[0].text
    assert told[0].requests <= 10 and watcher.exit_code == EXIT_DIFFERENT


def test_answers_that_differ_at_one_replica_of_four_are_found(rng: np.random.Generator) -> None:
    watcher = Watcher(SETTINGS, learn=500)
    told = [
        event
        for k in range(400)
        for event in watcher.see(Request(k, 5.0, difference="other" if k % 4 == 0 else ""))
    ]
    assert Kind.DIFFERENT_ANSWERS in [event.kind for event in told]


def test_a_track_tells_each_turn_once() -> None:
    track = Track(1000.0, 2.5)
    turns = [track.see([excess], k, k + 1.0) for k, excess in enumerate([True] * 8)]
    assert turns.count(Turn.CHANGED) == 1 and track.since_s == 0.0 and track.length == 8
    turns = [track.see([False], k, k + 1.0) for k in range(8, 20)]
    assert turns.count(Turn.RECOVERED) == 1 and not track.is_changed
    # Evidence alone is not enough: an excess must last.
    slow = Track(1000.0, 100.0)
    turns = [slow.see([True], k, k + 1.0) for k in range(10)]
    turns += [slow.see([False], k, k + 1.0) for k in range(10, 30)]
    assert [turn for turn in turns if turn] == [Turn.SPIKE]


def test_limits_hold_for_nine_blocks_in_ten() -> None:
    """Of references, at most one in ten may give limits that more than one block in ten exceeds."""
    rng, broken = np.random.default_rng(0), 0
    for _ in range(60):
        reference = LatencyReference.of_samples(rng.lognormal(0, 0.8, 440), 0.0, 20, "a test")
        medians = np.median(rng.lognormal(0, 0.8, (500, 20)), axis=1)
        broken += bool(np.mean(medians > reference.limit_ms) > BASE_RATE)
    assert broken <= binom.ppf(0.999, 60, 0.1)


def test_a_reference_says_what_it_cannot_tell() -> None:
    rng = np.random.default_rng(0)
    noisy = LatencyReference.of_samples(rng.lognormal(0, 1.5, 4000), 0.1, 20, "a test")
    assert "cannot be told" in noisy.notice(0.1) and noisy.block_requests > 20
    calm = LatencyReference.of_samples(rng.normal(5, 0.01, 500), 0.1, 20, "a test")
    assert not calm.notice(0.1) and calm.block_requests == 20
    assert calm.limit_ms == pytest.approx(5.5, rel=0.01)
    with pytest.raises(StudyError, match="at least 440"):
        LatencyReference.of_samples([1.0] * 439, 0.1, 20, "a test")


def test_a_reference_of_a_manifest_and_of_a_live_record(tmp_path: Path) -> None:
    metrics = {
        "latency_p50_ms": {"value": 5.0, "low": 4.9, "high": 5.2},
        "latency_p95_ms": {"value": 6.0, "low": 5.8, "high": 6.3},
    }
    told = LatencyReference.of_manifest({"metrics": metrics}, 0.1, 20)
    assert told.limit_ms == pytest.approx(5.72) and told.slow_ms == pytest.approx(6.93)
    assert told.excesses(Block(0, 1, 20, 5.8, 0)) == (True, False)
    assert told.excesses(Block(0, 1, 20, 5.0, 9)) == (False, True)
    assert LatencyReference.of_live(tmp_path, 0.1, 20) is None
    times = [5.0] * (20 * FEWEST_BLOCKS)
    LiveRecord("http://host", "v2", "toy", "2026-11-27", 1, times, 200.0, None, {}).save(tmp_path)
    live = LatencyReference.of_live(tmp_path, 0.1, 20)
    assert live is not None and live.limit_ms == pytest.approx(5.5)
    (tmp_path / "live.json").write_text("{}", "utf-8")
    with pytest.raises(StudyError, match=r"live\.json"):
        LatencyReference.of_live(tmp_path, 0.1, 20)


def rows(rng: np.random.Generator, count: int, shift: float = 0.0) -> np.ndarray:
    return rng.normal(shift, 1.0, (count, 4)).astype(np.float32)


def drifting(rng: np.random.Generator, reference: DataReference, shift: float) -> list[Event]:
    watch = DriftWatch(reference, SETTINGS, 4)
    features = features_of([rows(rng, 4_000, shift)], [])
    events: list[Event] = []
    for k in range(4_000):
        values = {name: float(each[k]) for name, each in features.items()}
        events += watch.see(Request(k * PACE_S, 5.0, features=values))
    return events


def test_drift_of_inputs_is_found_and_none_is_invented() -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        reference = DataReference.of_arrays([rows(rng, 300)], [])
        assert not [e for e in drifting(rng, reference, 0.0) if e.kind.is_alarm]
        told = drifting(rng, reference, 0.7)
        assert [e.kind for e in told] == [Kind.DRIFTED] and told[0].requests <= 2_500
        assert "input 0: [" in told[0].text and told[0].what == "inputs"


def test_drift_of_classes_is_found(rng: np.random.Generator) -> None:
    reference = DataReference.of_arrays([], [rng.random((500, 3)).astype(np.float32)])
    assert set(reference.features) == {"output 0: class", "output 0: score"}
    watch = DriftWatch(reference, SETTINGS, 4)
    told = [
        event
        for k in range(3_000)
        for event in watch.see(Request(k, 5.0, features={"output 0: class": "7"}))
    ]
    assert told[0].kind is Kind.DRIFTED and told[0].what == "outputs" and watch.is_drifted


def test_statistics_of_drift(rng: np.random.Generator) -> None:
    feature = DataReference.of_arrays([rng.normal(size=(1000, 1))], []).features["input 0: [0]"]
    same = {name: round(1000 * share) for name, share in feature.shares.items()}
    assert stability_index(same, feature) == pytest.approx(0.0, abs=1e-3)
    assert two_sample(same, feature, 1000) == (pytest.approx(0.0), 9)
    # Against scipy's, for tables: half of the samples in another bin.
    from scipy.stats import chi2_contingency

    moved = dict(same) | {"0": same["0"] + 50, "1": same["1"] - 50}
    table = [[same[name] for name in sorted(same)], [moved[name] for name in sorted(same)]]
    expected = chi2_contingency(table, correction=False).statistic
    assert two_sample(moved, feature, 1000)[0] == pytest.approx(expected, rel=1e-6)


def test_references_of_data_go_through_their_file(rng: np.random.Generator, tmp_path: Path) -> None:
    pictures = rng.random((20, 3, 8, 8)).astype(np.float32)
    tokens = rng.integers(0, 100, (20, 64))
    reference = DataReference.of_arrays([pictures, tokens], [rng.random((20, 5))])
    assert {"input 0: mean of channel 2", "input 1: zeros", "output 0: class"} <= set(
        reference.features
    )
    for feature in reference.features.values():
        assert sum(feature.shares.values()) == pytest.approx(1.0)
    reference.save(tmp_path)
    assert DataReference.of_bundle(tmp_path) == reference
    assert DataReference.of_bundle(tmp_path / "nowhere") is None
    (tmp_path / "reference.json").write_text('{"reference_version": 99}', "utf-8")
    with pytest.raises(StudyError, match="pick again"):
        DataReference.of_bundle(tmp_path)
