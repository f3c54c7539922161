"""One frontier: every way to ask for it gives the same points, values and intervals."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import html5lib
import pytest
from conftest import run_paretune
from mlflow.tracking import MlflowClient
from study_checks import numbers

import paretune
from paretune.runners.metric import metric_of
from paretune.search.record.words import format_metric
from paretune.search.review.frontier_rows import frontier_rows
from paretune.search.study.open_study import load_history

GOALS = ("accuracy", "latency_p95_ms", "throughput_samples_per_s")


def first_table(page: str) -> list[list[str]]:
    """Return the texts of the cells of a page's first table, row by row."""
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    return [["".join(cell.itertext()) for cell in row] for row in tree.find(".//table").iter("tr")]


def published(rows: list[dict[str, Any]]) -> dict[int, list[float]]:
    return {
        int(row["trial"]): [float(row[goal]) for goal in GOALS]
        for row in rows
        if row["kind"] == "published"
    }


def test_six_ways_to_the_frontier_give_the_same(iris_study: Path, tmp_path: Path) -> None:
    from_python = paretune.frontier(iris_study)
    want = {
        row.number: [row.metrics[goal] for goal in GOALS]
        for row in from_python
        if row.kind == "published"
    }
    history = load_history(iris_study)
    assert set(want) == {point.number for point in history.published}
    for point in history.published:
        assert want[point.number] == [point.metrics[goal] for goal in GOALS]

    as_json = json.loads(run_paretune("frontier", iris_study, "--format", "json").stdout)
    assert published(as_json) == want
    text = run_paretune("frontier", iris_study, "--format", "csv").stdout
    assert published(list(csv.DictReader(io.StringIO(text)))) == want

    shown = {
        n: [format_metric(g, v) for g, v in zip(GOALS, w, strict=True)] for n, w in want.items()
    }
    table = run_paretune("frontier", iris_study).stdout
    lines = {int(m[1]): line for line in table.splitlines() if (m := re.match(r"\s*(\d+) ", line))}
    for number, values in shown.items():
        assert [value for value in values if f" {value} " in lines[number]] == values
    assert set(lines) - set(shown) <= {0}  # the baseline is always a row

    page = tmp_path / "story.html"
    paretune.report(iris_study, page)
    head, *rows = first_table(page.read_text("utf-8"))
    places = [
        head.index(f"{goal.head} {arrow}")
        for goal, arrow in zip(map(metric_of, GOALS), "↑↓↑", strict=True)
    ]
    # Each value is followed by the half-width of its interval.
    on_page = {int(row[0].split()[0]): [row[i].split()[0] for i in places] for row in rows}
    assert {n: values for n, values in on_page.items() if n in shown} == shown

    client = MlflowClient(tracking_uri=f"sqlite:///{iris_study.parent}/results/mlflow.db")
    experiment = client.get_experiment_by_name("iris")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.published = 'true'")
    in_mlflow = {
        int(run.data.tags["paretune.trial"]): [numbers(run)[f"confirmed_{g}"] for g in GOALS]
        for run in runs
    }
    assert set(in_mlflow) == set(want)
    for number, values in in_mlflow.items():
        assert values == pytest.approx(want[number], rel=1e-12)


def test_the_searchs_own_frontier_is_asked_for_by_name(iris_study: Path) -> None:
    history = load_history(iris_study)
    rows = paretune.frontier(iris_study, searched=True)
    own = {row.number: row.metrics for row in rows if row.kind == "searched"}
    assert own == {record.number: record.metrics for record in history.frontier}
    as_json = json.loads(
        run_paretune("frontier", iris_study, "--searched", "--format", "json").stdout
    )
    assert {row["trial"] for row in as_json if row["kind"] == "searched"} == set(own)
    assert "not confirmed" in run_paretune("frontier", iris_study, "--searched").stdout


def test_a_row_says_what_it_gains_against_the_baseline(iris_study: Path) -> None:
    history = load_history(iris_study)
    rows = frontier_rows(history)
    [base] = [row for row in rows if row.number == 0]
    for row in rows:
        assert row.gains is not None
        gained = base.metrics["latency_p95_ms"] / row.metrics["latency_p95_ms"]
        assert row.gains.times_faster == pytest.approx(gained)
        lost = row.metrics["accuracy"] - base.metrics["accuracy"]
        assert row.gains.quality_change == pytest.approx(lost)
        smaller = base.metrics["size_bytes"] / row.metrics["size_bytes"]
        assert row.gains.times_smaller == pytest.approx(smaller)
