import json
import re
from pathlib import Path

from conftest import run_paretune

from paretune.search.deliver.choice import points
from paretune.search.study.open_study import load_history


def test_a_report_is_one_file_with_everything_in_it(iris_study: Path, tmp_path: Path) -> None:
    out = tmp_path / "with space" / "report.html"
    done = run_paretune("report", iris_study, "--out", out)
    assert done.returncode == 0, done.stderr
    html = out.read_text("utf-8")
    assert "{{" not in html.split("<script>")[0]
    # Nothing is fetched: no script, style or picture from elsewhere.
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", html.split("<script>")[0])
    found = re.search(r"const data = (\{.*?\});\nconst points", html, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    history = load_history(iris_study)
    assert [p["number"] for p in data["points"]] == [r.number for r in history.measured]
    published = {point.number: point for point in history.published}
    shown = {p["number"]: p for p in data["points"] if p["frontier"]}
    assert set(shown) == set(published)
    for number, point in published.items():
        value = shown[number]["values"]["latency_p95_ms"][0]
        assert value == point.metrics["latency_p95_ms"]
    # What the budget may choose is what `paretune pick` may.
    assert {p["number"] for p in data["points"] if p["choice"]} == {
        record.number for record in points(history)
    }
    volumes = [volume for _, volume in data["hypervolume"]]
    assert volumes == sorted(volumes)
    assert history.hypervolume is not None and abs(volumes[-1] - history.hypervolume) < 1e-9
    assert data["stages"]["measure"] > 0
    assert "No trial failed." in html


def test_a_study_that_was_not_started_has_no_report(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x\n", "utf-8")
    done = run_paretune("report", tmp_path / "study.yaml")
    assert done.returncode != 0 and "Traceback" not in done.stderr
