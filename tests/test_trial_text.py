"""Where a trial stands and why, and what the command prints of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import run_paretune

from paretune.runners.failure import Failure, FailureKind, log_end
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.record.words import unconfirmed_text
from paretune.search.review.frontier_rows import frontier_rows
from paretune.search.review.frontier_table import frontier_notes
from paretune.search.review.trial_text import standing, trial_lines
from paretune.spaces import BuildSpec, Quantization

Make = Callable[..., TrialRecord]
GOOD = {"accuracy": 0.9, "latency_p95_ms": 1.0, "throughput_samples_per_s": 1000.0}


@pytest.fixture
def history(make_record: Make) -> History:
    limit = Constraint("size_bytes", maximum=1e5)
    history = History(default_objectives("accuracy"), [limit])
    for number, changes in enumerate(
        [{}, {"latency_p95_ms": 2.0}, {"latency_p95_ms": 0.5, "size_bytes": 2e5}]
    ):
        history.add(make_record(number, {**GOOD, "size_bytes": 5e4, **changes}))
    return history


def test_standing_in_a_search(history: History) -> None:
    first, second, third = (standing(record, history) for record in history.records)
    assert first == "on the search's frontier; not confirmed yet"
    assert second.startswith("dominated in the search by trial 0 (accuracy 0.9000")
    assert third == "breaks a limit: size_bytes is 200,000, and its limit is 100,000"


def test_standing_after_the_confirmation(history: History) -> None:
    measured = [record.measurement for record in history.records]
    assert measured[0] and measured[1] and measured[2]
    history.confirmed = [
        Confirmed(0, measured[0], 0.97, True, row_probability=0.98),
        Confirmed(1, measured[1], 0.1, False, why_not="trial 0 dominates it"),
        Confirmed(2, measured[2], 0.5, False, same_as=0),
    ]
    first, second, third = (standing(record, history) for record in history.records)
    assert first == "published; probability 0.98"
    assert second == "measured again, but not published: trial 0 dominates it"
    assert third == "measured again, and cannot be told apart from trial 0"
    history.confirmed[0] = Confirmed(0, measured[0], 0.1, False, why_not="trial 1 dominates it")
    base = standing(history.records[0], history)
    assert base == "the baseline, measured again: a row beside the frontier (trial 1 dominates it)"


def test_what_was_not_measured_again_is_told(make_record: Make, history: History) -> None:
    other = make_record(3, {**GOOD, "size_bytes": 5e4, "latency_p95_ms": 0.1, "accuracy": 0.89})
    history.add(other)
    assert unconfirmed_text(history) == ""  # before a confirmation there is nothing to tell
    assert history.records[0].measurement is not None
    history.confirmed = [Confirmed(0, history.records[0].measurement, 0.97, True)]
    assert history.unconfirmed == [other]
    assert standing(other, history).startswith("on the search's frontier, but not measured again")
    left = "1 more point of the search frontier was not measured again"
    assert unconfirmed_text(history).startswith(left) and "(trial 3)" in unconfirmed_text(history)
    assert left in frontier_notes(history, frontier_rows(history))


def test_its_quantization_is_explained(make_record: Make, history: History) -> None:
    record = make_record(3, GOOD)
    assert not any(line.startswith("fp32:") for line in trial_lines(record, history))
    scheme = Quantization.INT8_STATIC.record
    build = BuildSpec("reference", 0.0, Quantization.INT8_STATIC, fp32_layer_share=0.25)
    record = replace(record, candidate=replace(record.candidate, build=build))
    history.add(record)
    assert trial_lines(record, history)[1] == (
        f"int8-static: weights of 8 bits, activations of 8; {scheme.words}; "
        "25% of the layers stay fp32"
    )


def test_a_failure_has_its_reason_and_its_log(make_record: Make, history: History) -> None:
    log = "\n".join([*(f"early {n}" for n in range(40)), "again", "", "again", "a", "b"])
    failure = Failure("quantize", FailureKind.UNSUPPORTED, "no operator Foo; use int8", log)
    record = replace(make_record(3, None), outcome=failure)
    history.add(record)
    assert standing(record, history) == "failed in quantize (unsupported)"
    lines = trial_lines(record, history)
    assert "no operator Foo; use int8" in lines and lines.index("  b") == lines.index("  a") + 1
    assert lines.count("  again") == 1 and "  " not in lines
    silent = replace(record, outcome=Failure("quantize", FailureKind.UNSUPPORTED, "no", " \n"))
    assert not any("log" in line for line in trial_lines(silent, history))
    assert "  early 0" not in lines and "  early 39" in lines


def test_the_kept_end_of_a_log_has_whole_lines() -> None:
    assert log_end("short\n") == "short\n"
    long = "".join(f"line {number}\n" for number in range(2000))
    kept = log_end(long)
    assert 3900 < len(kept) <= 4000 and long.endswith("\n" + kept)
    assert len(log_end("x" * 9000)) == 4000


def test_the_command_shows_any_trial(iris_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run_paretune("trial", iris_study, "0")
    assert shown.returncode == 0, shown.stderr
    monkeypatch.chdir(iris_study.parent)
    assert run_paretune("trial", "0").stdout == shown.stdout  # study.yaml can be left out
    assert shown.stdout.startswith("trial 0: reference") and "latency_p95_ms" in shown.stdout
    told = json.loads(run_paretune("trial", iris_study, "0", "--json").stdout)
    assert told["number"] == 0 and told["standing"] in shown.stdout
    none = run_paretune("trial", iris_study, "99")
    assert none.returncode != 0 and "finished trials are 0 to 9" in none.stderr
