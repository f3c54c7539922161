"""Exports for Prometheus and Grafana: read by Prometheus's own grammar and Grafana's own schema."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import run_paretune
from served_bundles import write_bundle, write_plan

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.export import export_bundle
from paretune.search.deliver.live.live_record import LiveRecord
from paretune.search.deliver.target import TARGETS, ExportSettings
from paretune.spaces import StudyError

SERVERS = ("triton", "ovms", "mlserver", "kserve")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def export(bundle: Path, target: str, out: Path, **settings: Any) -> Path:
    return export_bundle(bundle, TARGETS.get(target), out, ExportSettings("", **settings)).main


def rules(bundle: Path, out: Path, **settings: Any) -> list[dict[str, Any]]:
    told = yaml.safe_load(export(bundle, "prometheus", out, **settings).read_text("utf-8"))
    (group,) = told["groups"]
    assert set(group) == {"name", "rules"}
    found: list[dict[str, Any]] = group["rules"]
    return found


def alerts(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in found if "alert" in rule}


@pytest.mark.parametrize("server", SERVERS)
def test_rules_are_promql(bundle: Path, tmp_path: Path, server: str) -> None:
    promql = pytest.importorskip("promql_parser")
    write_plan(bundle)
    found = rules(bundle, tmp_path / "out", server=server)
    for rule in found:
        promql.parse(rule["expr"])
        keys = {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule) == (keys if "alert" in rule else {"record", "expr", "labels"})
        assert rule["labels"]["trial"] == "7" and len(rule["labels"]["digest"]) == 12
    recorded = {rule["record"] for rule in found if "record" in rule}
    for name, rule in alerts(found).items():
        used = {word for word in recorded if word in rule["expr"]}
        assert used or name == "ServiceIsNotScraped"
    assert {"paretune:latency_ms:p50", "paretune:latency_ms:p99"} <= recorded
    assert ("paretune:queue:share" in recorded) == (server in ("triton", "ovms"))


def test_the_figures_are_the_published_ones(bundle: Path, tmp_path: Path) -> None:
    def thresholds(**settings: Any) -> dict[str, str]:
        found = alerts(rules(bundle, tmp_path / "out", server="ovms", **settings))
        return {name: rule["expr"].rpartition("> ")[2] for name, rule in found.items()}

    # Of the manifest: the p95 is 1.8 to 2.2 ms, and 10 % more is tolerated.
    told = thresholds(max_latency_ms=12.5)
    assert told["ServiceLeavesPublishedLatency"] == "2.42"
    assert told["ServiceBreaksItsBudget"] == "12.5" and "ServiceIsNearItsCapacity" not in told
    assert "ServiceBreaksItsBudget" not in thresholds()
    write_plan(bundle)  # p95 9 ms, budget 20 ms, at least 90 requests per second
    told = thresholds()
    assert told["ServiceLeavesPublishedLatency"] == "9.9"
    assert told["ServiceBreaksItsBudget"] == "20" and told["ServiceIsNearItsCapacity"] == "81"
    p95 = {"latency_p95_ms": Statistic(5.0, 4.0, 6.0)}
    record = LiveRecord("http://x", "v2", "m", "now", 1, [1.0], 1.0, None, {1: p95})
    record.save(bundle)
    assert thresholds()["ServiceLeavesPublishedLatency"] == "6.6"
    text = (tmp_path / "out" / "rules.yaml").read_text("utf-8")
    assert "as verified live" in text and "4 to 6 ms" in text


def test_units_are_milliseconds(bundle: Path, tmp_path: Path) -> None:
    def scale(server: str) -> str:
        found = rules(bundle, tmp_path / server, server=server)
        return next(r["expr"] for r in found if r.get("record", "").endswith(":p95"))

    assert scale("ovms").startswith("0.001 * (histogram_quantile(0.95, ")
    assert scale("triton").startswith("histogram_quantile(0.95, ")
    assert scale("kserve").startswith("1000 * (")


def test_the_server_must_be_named(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--server NAME"):
        export(bundle, "prometheus", tmp_path / "out")
    done = run_paretune(
        "export", bundle, "--target", "grafana", "--server", "tomcat", "--out", tmp_path / "out"
    )
    assert done.returncode == 1 and "triton, ovms, mlserver, kserve" in done.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_a_dashboard_keeps_all_its_fields_in_grafanas_own_schema(
    bundle: Path, tmp_path: Path, server: str
) -> None:
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    plugins.register_default_plugins()
    write_plan(bundle)
    text = export(bundle, "grafana", tmp_path / "out", server=server).read_text("utf-8")
    written = json.loads(text)
    schema = models.Dashboard.from_json(written)
    again = json.loads(encoder.JSONEncoder().encode(schema))
    assert not lost(written, again)
    assert len(written["panels"]) == len({panel["id"] for panel in written["panels"]}) >= 4
    promql = pytest.importorskip("promql_parser")
    for panel in written["panels"]:
        for target in panel["targets"]:
            promql.parse(target["expr"])
    latency = written["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in latency] == [None, pytest.approx(9.9), 20.0]


def lost(written: Any, again: Any, where: str = "") -> list[str]:
    """Return what a schema dropped of what was written, or changed."""
    if isinstance(written, dict):
        return [
            each
            for key, value in written.items()
            if value is not None
            for each in (
                lost(value, again[key], f"{where}.{key}") if key in again else [f"{where}.{key}"]
            )
        ]
    if isinstance(written, list):
        if len(written) != len(again):
            return [where]
        pairs = enumerate(zip(written, again, strict=True))
        return [each for k, (a, b) in pairs for each in lost(a, b, f"{where}[{k}]")]
    return [] if written == again else [f"{where}: {written!r} became {again!r}"]


def test_rules_and_dashboard_agree_on_names(bundle: Path, tmp_path: Path) -> None:
    write_plan(bundle)
    found = rules(bundle, tmp_path / "a", server="triton")
    recorded = {rule["record"] for rule in found if "record" in rule}
    board = export(bundle, "grafana", tmp_path / "b", server="triton").read_text("utf-8")
    shown = {
        target["expr"].partition("{")[0]
        for panel in json.loads(board)["panels"]
        for target in panel["targets"]
        if target["expr"].startswith("paretune:")
    }
    assert shown and shown <= recorded


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_promtool_takes_the_rules_and_raises_the_alerts(
    bundle: Path, tmp_path: Path, server: str
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on the path (it comes with Prometheus)")
    write_plan(bundle)
    path = export(bundle, "prometheus", tmp_path / "out", server=server)
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if server != "ovms":
        return
    # 20 requests a second, all between 20 and 30 ms: above the published p95 and the budget.
    labels = 'interface="REST",name="Toy-study"'
    series = [
        {"series": f'ovms_request_time_us_bucket{{{labels},le="{bound}"}}', "values": f"0+{n}x60"}
        for bound, n in (("20000", 0), ("30000", 1200), ("+Inf", 1200))
    ]
    series += [
        {"series": f"ovms_request_time_us_{name}{{{labels}}}", "values": f"0+{n}x60"}
        for name, n in (("count", 1200), ("sum", 1200 * 25_000))
    ]
    expected = [
        ("ServiceBreaksItsBudget", "page"),
        ("ServiceLeavesPublishedLatency", "warning"),
    ]
    exported = alerts(rules(bundle, tmp_path / "again", server=server))
    tests = {
        "rule_files": [str(path)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {"eval_time": "30m", "alertname": name, "exp_alerts": [{"exp_labels": labels}]}
                    for name, labels in ((name, exported[name]["labels"]) for name, _ in expected)
                ],
            }
        ],
    }
    for test in tests["tests"][0]["alert_rule_test"]:  # type: ignore[index]
        rule = exported[test["alertname"]]
        values = {"ServiceBreaksItsBudget": "29.9", "ServiceLeavesPublishedLatency": "29.5"}
        shown = values[test["alertname"]]
        summary = rule["annotations"]["summary"].replace("{{ $value | printf `%.3g` }}", shown)
        notes = {"summary": summary, "description": rule["annotations"]["description"]}
        test["exp_alerts"][0]["exp_annotations"] = notes
    file = tmp_path / "tests.yaml"
    file.write_text(yaml.safe_dump(tests), "utf-8")
    done = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
