"""The report: true to the study, valid and readable for everybody, and live while a search runs."""

import itertools
import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from conftest import run_paretune, wait_until

from paretune.runners.measure.statistic import Statistic
from paretune.runners.runtimes.proof import ProviderShare
from paretune.search.deliver.choice import points
from paretune.search.deliver.report.html_report import report_html
from paretune.search.record.history import History
from paretune.search.record.objective import default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.study.open_study import load_history

PAGE = Path(__file__).parents[1] / "search" / "deliver" / "report" / "page"
HTML = "{http://www.w3.org/1999/xhtml}"
Make = Callable[..., TrialRecord]


def parsed(html: str) -> Element:
    """Return a page's tree; fail at the first mistake in its HTML."""
    tree: Element = html5lib.HTMLParser(strict=True).parse(html)
    return tree


def elements(tree: Element, *names: str) -> list[Element]:
    return [each for name in names for each in tree.iter(HTML + name)]


def data_in(tree: Element) -> dict[str, Any]:
    [found] = [each for each in elements(tree, "script") if each.get("id") == "data"]

    def refuse(constant: str) -> None:
        raise AssertionError(f"no browser reads {constant}")

    return dict(json.loads(found.text or "", parse_constant=refuse))


def test_a_report_is_one_file_with_everything_in_it(iris_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "with space" / "report.html"
    done = run_paretune("report", iris_study, "--out", out)
    assert done.returncode == 0, done.stderr
    html = out.read_text("utf-8")
    assert "{{" not in html.split("<script")[0]
    tree = parsed(html)
    # Nothing is fetched: no script, style or picture from elsewhere.
    assert not [each for each in tree.iter() if each.get("src") or each.get("href")]
    assert not re.search(r"\b(fetch|import|XMLHttpRequest|url)\s*\(", html.replace("url(#", ""))
    data, history = data_in(tree), load_history(iris_study)
    assert [p["number"] for p in data["points"]] == [r.number for r in history.measured]
    published = {point.number: point for point in history.published}
    shown = {p["number"]: p for p in data["points"] if p["frontier"]}
    assert set(shown) == set(published)
    for number, point in published.items():
        statistic = point.measurement.statistics["latency_p95_ms"]
        # Points are drawn with both ends of their intervals.
        assert shown[number]["values"]["latency_p95_ms"] == [
            statistic.value,
            statistic.low,
            statistic.high,
        ]
    # What the budget may choose is what `paretune pick` may.
    assert {p["number"] for p in data["points"] if p["choice"]} == {
        record.number for record in points(history)
    }
    volumes = [volume for _, volume in data["hypervolume"]]
    assert volumes == sorted(volumes)
    assert history.hypervolume is not None and abs(volumes[-1] - history.hypervolume) < 1e-9
    assert '<th scope="row">measure</th>' in html and "No trial failed." in html
    # The files of the frontier were read for their layers.
    quantized = [p for p in shown.values() if p["scheme"] != "fp32"]
    assert all(p["layers"]["left"] == [] for p in quantized)


@pytest.fixture
def html(make_record: Make) -> str:
    """A report of a study with a baseline, a quicker trial, a failure, and a hostile name."""
    quick = make_record(1, {"latency_p95_ms": 0.5})
    assert quick.measurement is not None
    operators = (("Conv", 3, 0.75), ("Relu", 2, 0.25))
    share = ProviderShare(5, 1.0, 1.0, (), operators)
    told = replace(quick.measurement, providers={"CPUExecutionProvider": share})
    records = [make_record(0, {}), replace(quick, outcome=told), make_record(2, None)]
    history = History(default_objectives("accuracy"), records=records)
    return report_html(history, "</script><b>x</b>", "it's.yaml")


def test_everybody_can_read_it(html: str) -> None:
    tree = parsed(html)
    assert elements(tree, "html")[0].get("lang") == "en"
    view = [
        each.get("content") for each in elements(tree, "meta") if each.get("name") == "viewport"
    ]
    assert view == ["width=device-width, initial-scale=1"]
    assert not elements(tree, "b") and "</script><b>" not in html
    assert all(each.get("scope") in ("row", "col") for each in elements(tree, "th"))
    labelled = {id(each) for label in elements(tree, "label") for each in label.iter()}
    controls = elements(tree, "input", "select")
    assert len(controls) > 10 and all(id(each) in labelled for each in controls)
    buttons = elements(tree, "button")
    assert buttons and all(each.get("aria-label") for each in buttons)
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    named = {each.get("aria-labelledby") for each in tree.iter() if each.get("aria-labelledby")}
    assert named and named <= set(ids)
    # What scrolls to the side can be scrolled with the keyboard, and has a name.
    boxes = [each for each in elements(tree, "div") if each.get("class") == "box"]
    tables = [table for box in boxes for table in box.iter(HTML + "table")]
    assert boxes and len(tables) == len(elements(tree, "table"))
    for box in boxes:
        assert box.get("tabindex") == "0" and box.get("role") == "region"
        assert box.get("aria-label") or box.get("aria-labelledby")
    levels = [
        int(each.tag[-1]) for each in tree.iter() if re.fullmatch(HTML + "h[1-6]", str(each.tag))
    ]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def luminance(color: str) -> float:
    """Return a color's relative luminance, by WCAG 2.2."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_and_points_stand_out_and_differ_by_more_than_color() -> None:
    css = (PAGE / "report.css").read_text("utf-8")
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", css))
    for name in ("ink", "muted", "accent", "pick"):
        for ground in ("paper", "tint"):
            lights = sorted(luminance(colors[each]) + 0.05 for each in (name, ground))
            assert lights[1] / lights[0] >= 4.5, (name, ground)
    # Every other color is one of these.
    assert set(re.findall(r"#[0-9a-f]{3,6}\b(?=[;} ])", css)) <= set(colors.values())
    shapes = re.findall(r'look: "\w+", shape: "(\w+)"', (PAGE / "report.js").read_text("utf-8"))
    assert len(shapes) == len(set(shapes)) == 4
    assert "@media print" in css


def test_it_has_the_operators_of_each_point(html: str) -> None:
    before, after = data_in(parsed(html))["points"]
    assert before["operators"] == []
    assert after["operators"] == [["Conv", 3, 0.75], ["Relu", 2, 0.25]]


def test_a_study_that_was_not_started_has_no_report(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x\n", "utf-8")
    for command in (["report"], ["ui", "--live"]):
        done = run_paretune(*command, tmp_path / "study.yaml")
        assert done.returncode != 0 and "Traceback" not in done.stderr


def test_a_report_without_a_measured_trial_says_so(make_record: Make) -> None:
    history = History(default_objectives("accuracy"), records=[make_record(0, None)])
    html = report_html(history, "x", revision="1", state="The search is running")
    assert parsed(html) is not None and "No trial was measured yet." in html


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return str(answer.read().decode())


def test_a_live_report_is_served_until_the_command_ends(iris_study: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "paretune",
        "ui",
        str(iris_study),
        "--live",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = f"http://127.0.0.1:{port}"
            assert address in process.stdout.readline()
            tree = parsed(get(address))
            assert len(data_in(tree)["points"]) == len(load_history(iris_study).measured)
            [body] = elements(tree, "body")
            # It would reload only if something had happened.
            assert body.get("data-revision") == get(f"{address}/revision")
            [state] = [each for each in elements(tree, "p") if each.get("id") == "state"]
            assert "The search has ended" in (state.text or "")
            taken = run_paretune("ui", iris_study, "--live", "--port", str(port))
            assert taken.returncode != 0 and "--port" in taken.stderr
        finally:
            process.terminate()
    wait_until(lambda: process.poll() is not None)


def test_a_number_that_is_none_does_not_break_the_page(make_record: Make) -> None:
    odd = make_record(1, {"size_bytes": float("nan")})
    assert odd.measurement is not None
    wide = {"latency_p50_ms": Statistic(1.0, 0.5, float("inf"))}
    outcome = replace(odd.measurement, statistics={**odd.measurement.statistics, **wide})
    records = [make_record(0, {}), replace(odd, outcome=outcome)]
    data = data_in(
        parsed(report_html(History(default_objectives("accuracy"), records=records), "x"))
    )
    assert data["points"][1]["values"]["size_bytes"][0] is None
    assert data["points"][1]["values"]["latency_p50_ms"] == [1.0, 0.5, None]
