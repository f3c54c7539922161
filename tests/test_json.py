"""``--json``: what commands print has exactly the keys that docs/json.md lists."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import run_paretune
from onnx_models import perceptron
from pydantic import BaseModel

from paretune.runners.metric import METRICS
from paretune.search.cli.main import main
from paretune.search.cli.values.frontier import FrontierPoint, TrialValues
from paretune.search.cli.values.machine import CheckValues
from paretune.search.cli.values.model import CompareValues
from paretune.search.cli.values.pick import PickValues
from paretune.search.cli.values.serving import EventValues
from paretune.search.cli.values.status import StatusValues
from paretune.search.cli.values.verify import VerifyValues
from paretune.search.deliver.watch.event import Event, Kind

WORDS_ONLY = {
    "completion": "prints a script",
    "confirm": "prints progress",
    "export": "prints what it wrote",
    "fleet": "has commands of its own",
    "init": "prints what it wrote",
    "mcp": "speaks a protocol",
    "report": "prints what it wrote",
    "search": "prints progress",
    "sync": "prints one number",
    "ui": "serves pages",
    "worker": "prints progress",
}


def printed(*arguments: str | Path, codes: tuple[int, ...] = (0,)) -> Any:
    done = run_paretune(*arguments, "--json")
    assert done.returncode in codes, done.stdout + done.stderr
    return json.loads(done.stdout)


def has_keys_of(values: dict[str, Any], model: type[BaseModel]) -> bool:
    return set(values) == set(model.model_fields)


def test_every_other_command_prints_json() -> None:
    having = {
        name
        for name, command in main.commands.items()
        if any("--json" in param.opts for param in command.params)
    }
    assert having == set(main.commands) - set(WORDS_ONLY)


def test_commands_of_a_study_print_what_is_documented(iris_study: Path) -> None:
    status = printed("status", iris_study)
    assert has_keys_of(status, StatusValues)
    assert status["state"] == "finished" and status["trials"] == status["budget_trials"] == 10
    assert not status["is_running"] and status["time_left_s"] is None and status["ended"]

    points = printed("frontier", iris_study)
    assert points == json.loads(run_paretune("frontier", iris_study, "--format", "json").stdout)
    axes = {"student", "pruning_ratio", "quantization", "fp32_layer_share", "batch_size"}
    axes |= {"execution_provider", "intra_op_threads", "graph_optimization"}
    ends = ("", "_low", "_high")
    metrics = {f"{name}{end}" for name in [*METRICS, "accuracy"] for end in ends}
    for point in points:
        assert set(FrontierPoint.model_fields) < set(point)
        assert set(point) - set(FrontierPoint.model_fields) - axes <= metrics

    trial = printed("trial", iris_study, "0")
    assert set(trial) == set(TrialValues.model_fields) - {"skip", "failure"}
    best = printed("pick", iris_study, "--no-measure")
    assert has_keys_of(best, PickValues) and best["model"] is None and best["reasons"]
    # Of points that cannot be told apart, a pick may take one that is confirmed, not published.
    assert best["is_confirmed"] and best["trial"] in range(status["trials"])


def test_doctor_names_its_checks(iris_copy: Path) -> None:
    checks = printed("doctor", iris_copy)
    assert len(checks) > 3 and all(has_keys_of(each, CheckValues) for each in checks)


@pytest.mark.slow
def test_devices_are_listed() -> None:
    found = printed("devices")
    works = {each["execution_provider"]: each["works"] for each in found["providers"]}
    assert works["CPUExecutionProvider"] and not works["DmlExecutionProvider"]


@pytest.mark.slow
def test_files_are_compared_with_the_first(tmp_path: Path, rng: np.random.Generator) -> None:
    files = [tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx")]
    for file in files:
        onnx.save(perceptron(rng), file)
    found = printed("compare", *files, "--launches", "2")
    assert [each["other"] for each in found] == [str(file) for file in files[1:]]
    assert all(has_keys_of(each, CompareValues) and each["ratio"]["value"] > 0 for each in found)


def test_a_verdict_and_an_event_have_the_documented_keys(iris_study: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "picked"
    picked = printed("pick", iris_study, "--no-measure", "--out", bundle)
    model = Path(picked["model"])
    assert model.parent == bundle and model.exists()
    model.write_bytes(b"another")  # then nothing has to be timed
    found = printed("verify", bundle, codes=(7,))
    assert has_keys_of(found, VerifyValues)
    assert (found["verdict"], found["exit_code"]) == ("damaged", 7)
    event = Event(Kind.SPIKE, "latency", 2.0, 1.0, "twice as long", 9, 2.0, 1.8, 2.2).as_dict()
    assert has_keys_of(event, EventValues) and EventValues.model_validate(event).requests == 9
