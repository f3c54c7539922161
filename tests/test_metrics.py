"""The table of metrics: complete, and asked by everything that shows a metric."""

import ast
from pathlib import Path

import pytest

from paretune.runners.measure.launch_statistics import summarize
from paretune.runners.measure.statistic import Statistic
from paretune.runners.metric import METRICS, metric_of
from paretune.runners.runtimes.launch import Launch
from paretune.search.record.gains import GAINS, Gains
from paretune.search.record.words import format_metric, interval_text, with_interval

ROOT = Path(__file__).parents[1]


def test_nobody_else_spells_a_metric() -> None:
    """Names, and the ends of units in names, are in the table alone."""
    files = [*(ROOT / "search").rglob("*.py"), *(ROOT / "paretune").glob("*.py")]
    assert len(files) > 50
    spelled = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.value in METRICS or node.value in ("_ms", "_bytes", "_per_s", "_low", "_high"))
    ]
    assert not spelled


def test_what_is_timed_is_in_the_table() -> None:
    calls = [(ms,) * 200 for ms in (1.0, 1.1)]  # enough for the p99
    launches = [Launch(10.0, 2.0, 5, True, each, 1.0, 1.0, 0.0, 1000, 0.1) for each in calls]
    found = summarize(launches, 1)
    assert found.keys() <= METRICS.keys()
    for name, statistic in found.items():
        assert METRICS[name].interval in ("timing", "launches")
        assert statistic.low is not None
    without_need = {name for name, metric in METRICS.items() if not metric.needs}
    of_the_file = {"size_bytes", "flipped_share"}
    assert without_need - found.keys() == of_the_file
    assert not any(METRICS[name].interval for name in of_the_file)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.98222, "0.9822"),
        ("latency_p95_ms", 0.037444, "0.03744"),
        ("throughput_samples_per_s", 29053.4, "29,053"),
        ("throughput_samples_per_s", 3.14159, "3.14"),
        ("size_bytes", 1234567.0, "1,234,567"),
        ("energy_mj", 12.34567, "12.35"),
    ],
)
def test_a_value_is_shown_alike_everywhere(name: str, value: float, text: str) -> None:
    assert format_metric(name, value) == text


def test_an_interval_is_a_share_where_only_ratios_matter() -> None:
    assert metric_of("latency_p50_ms").half_width(2.0, 2.0 / 1.05, 2.1) == "±5.0%"
    assert metric_of("latency_p50_ms").half_width(2.0, 0.8, 5.0) == "×÷2.5"
    # Earlier versions stored intervals that may end below zero.
    assert metric_of("latency_p50_ms").half_width(2.0, -1.0, 5.0) == "×÷2.5"
    assert metric_of("accuracy").half_width(0.9, 0.89, 0.91) == "±0.0100"
    assert interval_text("accuracy", Statistic(0.9, 0.89, 0.91)) == "0.8900 … 0.9100"
    assert interval_text("accuracy", Statistic(0.9)) == ""
    assert with_interval("size_bytes", Statistic(4.0)) == {
        "size_bytes": 4.0,
        "size_bytes_low": None,
        "size_bytes_high": None,
    }


def test_every_gain_has_its_names_and_its_text() -> None:
    gained = Gains("latency_p95_ms", 2.0, 3.0, -0.0, 4.0)
    told = {gain.mlflow: gain.in_mlflow(getattr(gained, gain.name)) for gain in GAINS}
    assert told == {
        "speedup_vs_baseline": 2.0,
        "throughput_ratio_vs_baseline": 3.0,
        "quality_drop": 0.0,
        "size_ratio_vs_baseline": 0.25,
    }
    texts = [gain.text(getattr(gained, gain.name)) for gain in GAINS if gain.head]
    assert texts == ["2.0×", "+0.0000", "4.0×"]
