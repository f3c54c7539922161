"""The report: one HTML file, without network, for readers who know nothing of the study."""

from __future__ import annotations

from pathlib import Path

from paretune.search.deliver.report.layers import Layers
from paretune.search.deliver.report.page_data import (
    frontier_cells,
    page_data,
    stage_seconds,
    summary,
)
from paretune.search.record.history import History

_PAGE = Path(__file__).with_name("page")
_SCRIPTS = ("choice.js", "chart.js", "report.js")


def write_report(
    history: History, name: str, path: Path, study: str = "study.yaml", layers: Layers | None = None
) -> None:
    """Write a study's report: a pick, the frontier, comparison, operators, time, failures.

    Args:
        history: The study, with at least one measured trial.
        name: The study's name.
        path: The HTML file.
        study: The study file, as the commands on the page name it.
        layers: Reads what model files say of their layers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report_html(history, name, study, layers), "utf-8")


def report_html(
    history: History,
    name: str,
    study: str = "study.yaml",
    layers: Layers | None = None,
    *,
    revision: str = "",
    state: str = "",
) -> str:
    """Return a study's report as HTML.

    Args:
        history: The study; without a measured trial, the page says so.
        name: Its name.
        study: The study file, as the commands on the page name it.
        layers: Reads what model files say of their layers.
        revision: Of a live page: it reloads once its server has another one.
        state: Of a live page: what the study is doing.
    """
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    templates = Environment(loader=FileSystemLoader(_PAGE), autoescape=True)
    templates.policies["json.dumps_kwargs"] = {"sort_keys": False}
    heads, rows = frontier_cells(history)
    stages = stage_seconds(history)
    return templates.get_template("report.html").render(
        name=name,
        summary=summary(history),
        heads=heads,
        rows=rows,
        stages=stages,
        longest=max(stages.values(), default=0.0) or 1.0,
        failures=history.failures_by_cause,
        data=page_data(history, study, layers) if history.measured else None,
        style=Markup((_PAGE / "report.css").read_text("utf-8")),
        scripts=[Markup((_PAGE / script).read_text("utf-8")) for script in _SCRIPTS],
        live=Markup((_PAGE / "live.js").read_text("utf-8")),
        revision=revision,
        state=state,
    )
