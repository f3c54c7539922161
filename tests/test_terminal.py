"""What a running study prints: a live view on a terminal, lines in a pipe, problems with -q."""

import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from conftest import BUILT_SPACE, QUICK_CONFIRMATION, run_paretune, write_study
from rich.console import Console
from terminal import Terminal

from paretune.runners.execute.job import Build, Launch, Measure, Missing, Score, Train
from paretune.runners.execute.ongoing_stage import OngoingStage
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.stored_samples import StoredSamples
from paretune.runners.workload.learning.progress import Epoch
from paretune.search.confirm.pace import ConfirmationProgress
from paretune.search.record.confirmed import Confirmed
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import Skip, TrialRecord
from paretune.search.record.wish import Wish
from paretune.search.review.frontier_table import frontier_table
from paretune.search.review.terminal.best import (
    Best,
    best_again_text,
    best_text,
    best_with_quality,
)
from paretune.search.review.terminal.live_lines import Row, bar_line, row_lines
from paretune.search.review.terminal.live_reporter import LiveReporter
from paretune.search.review.terminal.phases import Confirming, Searching
from paretune.search.review.terminal.plain_reporter import PlainReporter
from paretune.search.review.terminal.quiet_reporter import QuietReporter
from paretune.search.review.terminal.trial_line import (
    clock,
    plain_line,
    short_label,
    short_line,
)
from paretune.search.run.budget import Budget
from paretune.search.run.time_left import TimeLeft
from paretune.search.run.work import Work
from paretune.spaces import REFERENCE, BuildSpec, Candidate, Quantization, RunSpec, SearchSpace

Make = Callable[..., TrialRecord]
SPACE = SearchSpace.from_values(
    {
        "student": [REFERENCE, "half"],
        "pruning_ratio": [0.0, 0.5],
        "quantization": ["fp32", "int8-static"],
        "batch_size": [1],
        "execution_provider": ["CPUExecutionProvider"],
        "intra_op_threads": [1, 2],
    }
)
HALF = Candidate(
    BuildSpec("half", 0.5, Quantization.INT8_STATIC),
    RunSpec("onnxruntime", "CPUExecutionProvider", 1, 2),
)
SAMPLES = StoredSamples("validation", ())
GOALS = default_objectives("accuracy")
ESCAPE = "\x1b"


def trial(make: Make, number: int, accuracy: float, latency: float) -> TrialRecord:
    metrics = {
        "accuracy": accuracy,
        "latency_p95_ms": latency,
        "throughput_samples_per_s": 1000 / latency,
    }
    return make(number, metrics)


def history(make: Make, wish: Wish | None = None) -> History:
    records = [
        trial(make, 0, 0.90, 4.0),
        trial(make, 1, 0.895, 1.0),
        trial(make, 2, 0.92, 2.0),
        trial(make, 3, 0.60, 0.5),
    ]
    return History(GOALS, records=records, wish=wish or Wish())


@pytest.mark.parametrize(
    ("wish", "number", "words"),
    [
        (Wish(), 1, "best with a quality drop ≤ 1 %: 4.0× faster, accuracy -0.0050 (trial 1)"),
        (Wish(max_quality_drop=0.4), 3, "best with a quality drop ≤ 0.4: 8.0× faster"),
        (Wish(min_quality=0.91), 2, "2.0× faster, accuracy +0.0200 (trial 2)"),
        (Wish(max_latency_ms=3.0), 2, "best with latency_p95_ms ≤ 3: 2.0× faster"),
        (Wish(max_latency_ms=0.1), None, "no trial with latency_p95_ms ≤ 0.1 yet"),
        (Wish(min_quality=0.9, max_latency_ms=9.0), 2, "2.0× faster"),
        (Wish(max_quality_drop=0.003), 2, "2.0× faster"),
    ],
)
def test_the_best_so_far_is_what_a_pick_would_take(
    make_record: Make, wish: Wish, number: int | None, words: str
) -> None:
    known = history(make_record, wish)
    best = Best().update(known)
    assert (best and best.number) == number
    assert words in best_with_quality(best, known)
    by_and_by, found = History(GOALS, wish=wish), Best()
    for record in known.records:
        by_and_by.add(record)
        last = found.update(by_and_by)
    assert (last and last.number) == number


def test_the_best_so_far_in_a_pipe_is_as_before(make_record: Make) -> None:
    known = history(make_record)
    told = best_text(known.records[1], known)
    assert told == "best with a quality drop ≤ 1 %: 4.0× faster (trial 1)"
    assert best_text(None, History(GOALS)) == ""
    alone = History(GOALS, records=known.records[:1])
    assert best_with_quality(Best().update(alone), alone).endswith("the baseline, so far")


def test_what_became_of_the_best_of_the_search_is_told(make_record: Make) -> None:
    known = history(make_record)
    assert best_again_text(known) == ""  # nothing was measured again
    zero, one, two = (known.records[n].measurement for n in range(3))
    again = make_record(1, trial(make_record, 1, 0.895, 2.0).metrics).measurement
    assert zero and one and two and again
    known.confirmed = [Confirmed(0, zero, 1.0, False), Confirmed(2, two, 1.0, True)]
    left = best_again_text(known)
    assert left.startswith(
        "trial 1, the search's best with a quality drop ≤ 1 % (4.0× faster): on "
    )
    assert "not measured again" in left
    known.confirmed.append(Confirmed(1, again, 0.4, False, same_as=2))
    told = best_again_text(known)
    assert told.endswith(
        "(4.0× faster): 2.0× when measured again, and cannot be told apart from trial 2"
    )
    known.confirmed[-1] = Confirmed(1, again, 0.9, True)
    assert best_again_text(known) == ""


def test_a_useless_model_has_no_star(make_record: Make) -> None:
    known = history(make_record)
    useless = known.records[3]
    assert useless in known.frontier
    assert "★" not in plain_line(useless, known, "4/10")
    assert "★" not in short_line(useless, known, "label", 120).plain
    assert "★" in plain_line(known.records[1], known, "2/10")


def test_labels_leave_out_what_all_candidates_share() -> None:
    assert short_label(HALF, SPACE) == "half · prune 0.5 · int8-static · 2 thr"
    assert short_label(SPACE.baseline, SPACE) == "reference · fp32 · 1 thr"


def test_durations() -> None:
    assert [clock(s) for s in (0.4, 59.6, 3600)] == ["0:00", "1:00", "1:00:00"]


@pytest.mark.parametrize("width", [40, 79, 159])
def test_a_trial_is_one_line_that_fits(make_record: Make, width: int) -> None:
    known = history(make_record)
    label = short_label(HALF, SPACE)
    line = short_line(known.records[1], known, label, width)
    assert line.cell_len <= width and "accuracy" in line.plain and "★" in line.plain
    assert (label[:30] in line.plain) == (width > 40)
    assert (label in line.plain) == (width == 159)
    assert ("samples/s" in line.plain) == (width == 159)
    failed = Failure("quantize", FailureKind.UNSUPPORTED, "no kernel\nfor this operator" * 9)
    line = short_line(replace(known.records[1], outcome=failed), known, label, width)
    assert line.cell_len <= width and "✗ failed" in line.plain and "\n" not in line.plain
    assert width == 40 or "in quantize (unsupported): no ke" in line.plain
    skip = Skip("fine-tune", "dominated by trial 2", 0.8, None)  # type: ignore[arg-type]
    line = short_line(replace(known.records[1], outcome=skip), known, label, width)
    assert line.cell_len <= width and "– skipped" in line.plain


def test_rows_are_aligned_and_many_are_counted() -> None:
    rows = [Row("build", f"trial {n}", "quantize" * n, "x" * 40 * n, 60.0 * n) for n in range(1, 9)]
    for width in (79, 159):
        lines = row_lines(rows, width)
        assert len(lines) == 7 and lines[-1].plain == "and 2 more"
        assert len({line.cell_len for line in lines[:-1]}) == 1
        assert lines[0].cell_len <= width and lines[0].plain.endswith(" 1:00")
    assert row_lines([], 79) == []


def test_a_bar_leaves_out_what_does_not_fit() -> None:
    words = ["3 of 9 trials", "about 1:00 left", "0:30 of it for the confirmation"]
    assert bar_line(0.5, words, 159).plain == "━" * 20 + "─" * 20 + "  " + " · ".join(words)
    narrow = bar_line(0.5, words, 60)
    assert narrow.cell_len <= 60 and "about 1:00 left" in narrow.plain
    assert "confirmation" not in narrow.plain
    assert bar_line(2.0, ["x"], 10).plain == "━━━━━━━  x"


@pytest.mark.parametrize(("width", "left_out"), [(200, ""), (100, "× smaller"), (70, "student")])
def test_the_table_fits_and_names_what_it_leaves_out(
    make_record: Make, monkeypatch: pytest.MonkeyPatch, width: int, left_out: str
) -> None:
    known = history(make_record)
    records = [replace(known.records[1], number=1, candidate=HALF), *known.records[2:]]
    known = History(GOALS, records=[known.records[0], *records])
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr("paretune.search.review.frontier_table.console", console)
    console.print(frontier_table(known, searched=True))
    told = out.getvalue()
    assert ("Left out, because the terminal is narrow: " in told) == bool(left_out)
    assert left_out in told.partition("Left out")[2]
    assert "…" not in told and "accuracy ↑" in told and "× faster" in told
    assert all(len(line.rstrip()) <= width for line in told.splitlines())
    monkeypatch.setattr(console, "_force_terminal", False)
    assert "Left out" not in str(frontier_table(known, searched=True).caption)
    console.print(frontier_table(History(GOALS)))


class Now:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_the_search_shows_who_does_what_and_for_how_long(make_record: Make) -> None:
    now, known = Now(), history(make_record)
    stages = [OngoingStage("distill", "half", "seven", Epoch(3, 30, 0.41237), is_suspended=True)]
    phase = Searching(SPACE, known, Budget(10), lambda: stages, now)
    work = [
        Work(7, HALF, Train(HALF.build, "distill", occasion="seven"), "build"),
        Work(6, HALF, Measure("", HALF.run, SAMPLES, occasion="six"), "device:cpu"),
    ]
    phase.working(work, TimeLeft(100.0, 20.0))
    phase.lines(159)
    now.seconds = 65.0
    text = "\n".join(line.plain for line in phase.lines(159))
    assert re.search(r"cpu +trial 6 +measuring +half .* 1:05\nbuild +trial 7", text)
    assert re.search(r"trial 7 +distill 3/30, loss 0.412, paused +half .* 1:05", text)
    assert "4 of 10 trials · about 0:55 left · 0:20 of it for the confirmation" in text
    assert "best with a quality drop ≤ 1 %: 4.0× faster" in text
    # The next stage begins from nothing; what is known of others is not told.
    stages[:] = [OngoingStage("export", "half", "seven"), OngoingStage("qat", "", "another")]
    failed = replace(known.records[1], number=4, outcome=Failure("x", FailureKind.CRASH, "no"))
    known.add(failed)
    phase.count(known)
    phase.working(work[:1], TimeLeft(100.0, 20.0))
    text = "\n".join(line.plain for line in phase.lines(159))
    assert re.search(r"trial 7 +export +half .* 0:00", text) and "qat" not in text
    assert "cpu" not in text and "5 of 10 trials · 1 failed · about 2:00 left" in text


def test_a_search_by_hours_fills_its_bar_by_time(make_record: Make) -> None:
    now = Now()
    phase = Searching(SPACE, history(make_record), Budget(1000, 1.0), tuple, now)
    now.seconds = 900.0
    phase.working([], TimeLeft(2000.0, 700.0))
    (bar,) = [line.plain for line in phase.lines(159) if "━" in line.plain]
    assert bar.startswith("━" * 10 + "─" * 30) and "about 45:00 left" in bar


def test_the_confirmation_shows_its_rounds_and_the_time_left() -> None:
    now = Now()
    phase = Confirming(now)
    assert phase.lines(79) == []
    phase.measuring(ConfirmationProgress(0, 4, 5, 0, 2, HALF, 1, 300.0), "half")
    text = "\n".join(line.plain for line in phase.lines(79))
    assert "quality" in text and "4 of 5 points to go" in text and "about 5:00 left" in text
    now.seconds = 100.0
    phase.measuring(ConfirmationProgress(3, 4, 5, 0, 2, HALF, 17, 100.0), "half")
    row, bar = [line.plain for line in phase.lines(79)]
    assert re.search(r"round 3 +trial 2 +measuring +half +0:00", row)
    assert bar.startswith("━" * 18) and "─" in bar and "about 1:40 left" in bar
    assert "4 of 5 points to settle" in bar


def test_jobs_in_words() -> None:
    run = HALF.run
    jobs = [
        Missing(HALF.build),
        Measure("", run, SAMPLES, with_quality=False),
        Measure("", run, SAMPLES),
        Launch("", run, SAMPLES, 1),
        Score("", run, SAMPLES),
        Build(HALF.build),
    ]
    words = [Work(1, HALF, job, "build").words for job in jobs]
    assert words == [
        "planning",
        "timing before training",
        "measuring",
        "measuring",
        "quality on test split",
        "starting",
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_the_view_leaves_the_terminal_as_it_was(make_record: Make, width: int) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=24, highlight=False)
    reporter, known = LiveReporter(console), history(make_record)
    reporter.preparing("loading the workload")
    reporter.started("iris", SPACE, known, Budget(10))
    reporter.trial_finished(known.records[1], known)
    reporter.gave_up("[this] fails")
    reporter.confirming(ConfirmationProgress(1, 4, 5, 0, 2, HALF, 17, 100.0))
    reporter.stop()
    reporter.stop()
    import pyte

    screen = pyte.Screen(width, 24)
    pyte.Stream(screen).feed(out.getvalue().replace("\n", "\r\n"))
    text = "\n".join(line.rstrip() for line in screen.display)
    assert "iris: 16 combinations" in text and "no longer tried: [this] fails" in text
    assert "confirming 5 plausible points" in text and not screen.cursor.hidden
    assert "━" not in text and "loading" not in text


def test_quiet_tells_problems_alone(make_record: Make) -> None:
    out, known = StringIO(), history(make_record)
    reporter = QuietReporter(Console(file=out, width=200))
    reporter.preparing("loading")
    reporter.started("iris", SPACE, known, Budget(10))
    reporter.noted("something")
    reporter.trial_finished(known.records[1], known)
    reporter.confirming(ConfirmationProgress(0, 4, 5, 0, 2, HALF, 17, 100.0))
    assert out.getvalue() == ""
    failed = replace(known.records[1], outcome=Failure("quantize", FailureKind.CRASH, "no\nmore"))
    reporter.trial_finished(failed, known)
    reporter.gave_up("int8 fails")
    told = out.getvalue().splitlines()
    assert "failed in quantize (crash): no" in told[0]
    assert told[1:] == ["no longer tried: int8 fails"]


def test_lines_in_a_pipe_have_the_time_left(make_record: Make) -> None:
    out, known = StringIO(), history(make_record)
    reporter = PlainReporter(Console(file=out, width=200))
    reporter.preparing("loading the workload")
    reporter.started("iris", SPACE, known, Budget(10))
    reporter.trial_finished(known.records[0], known)
    reporter.working([], TimeLeft(100.0, 20.0))
    reporter.trial_finished(known.records[1], known)
    for number in (0, 0, 1, 1):
        reporter.confirming(ConfirmationProgress(number, 4, 5, 0, 2, HALF, 17, 100.0))
    told = out.getvalue().splitlines()
    assert told[0] == "loading the workload …" and "budget 10 trials" in told[2]
    assert "[4/10] trial 0: " in told[3] and "[4/10 · 2:00 left] trial 1: " in told[4]
    assert told[4].endswith("★ frontier  best with a quality drop ≤ 1 %: 4.0× faster (trial 1)")
    assert told[-2:] == [
        "confirming 5 plausible points: fresh processes, the test split, about 1:40",
        "  round 1: 4 of 5 intervals are wider than asked for · about 1:40 left",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("built")
def test_a_quiet_search_prints_the_table_and_the_next_step(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        space=BUILT_SPACE,
        confirmation=QUICK_CONFIRMATION,
        budget={"trials": 3},
        tracking=False,
    )
    done = run_paretune("search", study, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published frontier: " in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[-1].startswith("next: paretune pick ")
    again = run_paretune("confirm", study, "--quiet")
    assert again.returncode == 0 and "published frontier: " in again.stdout.splitlines()[0]
    assert again.stdout.splitlines()[-1].startswith("next: paretune pick ")
    assert ESCAPE not in done.stdout + again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 160])
def test_a_search_in_a_terminal_has_no_broken_line(tmp_path: Path, columns: int) -> None:
    """Also without colours, which leaves the cursor's movements."""
    study = write_study(
        tmp_path, confirmation=QUICK_CONFIRMATION, budget={"trials": 5, "build_workers": 2}
    )
    environment = {"NO_COLOR": "1"} if columns == 80 else {}
    terminal = Terminal("search", study, columns=columns, environment=environment)
    seen: set[str] = set()
    try:
        for lines in terminal.frames():
            # A line that begins anew, or is drawn twice, would be a broken one.
            bars = [line for line in lines if "━" in line or "─ " in line or "── " in line]
            assert len([bar for bar in bars if " left" in bar or " trials" in bar]) <= 1, lines
            seen |= {line.rstrip() for line in lines}
    finally:
        terminal.close()
    assert terminal.process.returncode == 0, terminal.lines
    text = "\n".join(seen)
    assert re.search(r"^loading the workload +\d:\d\d$", text, re.MULTILINE)
    assert re.search(r"^build +trial \d +(reference|export|quantize|distill)", text, re.MULTILINE)
    assert re.search(r"^cpu +trial \d +measuring +.* \d:\d\d$", text, re.MULTILINE)
    assert re.search(r"[━─]{10,}  \d of 5 trials · .*about \d+:\d\d left", text)
    assert re.search(r"^round \d +trial \d +measuring ", text, re.MULTILINE)
    assert re.search(r"^best with a quality drop ≤ 1 %: ", text, re.MULTILINE)
    left = "\n".join(terminal.scrolled)
    finished = re.findall(r"^trial +\d+ [★ ] accuracy", left, re.MULTILINE)
    assert len(finished) == 5
    assert "published frontier: " in left and "next: paretune pick " in left
    assert " left" not in left and "measuring" not in left
    has_colours = bool(re.search(rb"\x1b\[[0-9;]*3[0-9][;m]", terminal.raw))
    assert has_colours == (columns == 160)
    assert terminal.raw.count(b"\x1b[?25l") == terminal.raw.count(b"\x1b[?25h")  # the cursor
