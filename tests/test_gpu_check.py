"""The check of cards (experiments/gpu), as far as a machine without a card can show it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from onnx_models import by_hand

from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.configure.study_file import read_study_file

GPU = Path(__file__).parents[1] / "experiments" / "gpu"
sys.path.append(str(GPU))

import page  # noqa: E402
from plain_process import PlainProcess  # noqa: E402
from this_machine import STUDIES, fitted  # noqa: E402

CARDLESS = {"onnxruntime": ("CPUExecutionProvider",), "pytorch": ("eager-cpu",)}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_fitted_to_a_machine_without_a_card(name: str, tmp_path: Path) -> None:
    whole = yaml.safe_load((GPU / name).read_text("utf-8"))
    values, without = fitted(whole, CARDLESS)
    assert values["space"]["execution_provider"] == ["CPUExecutionProvider"]
    assert {"CUDAExecutionProvider", "pytorch/eager-cuda", "pytorch/compile-cuda"} <= set(without)
    assert all("CUDA" not in str(rule["forbid"]) for rule in values["rules"])
    values["workload"] = f"{GPU}/{values['workload']}"
    study = tmp_path / name
    study.write_text(yaml.safe_dump(values), "utf-8")
    assert read_study_file(study).space.execution_provider == ["CPUExecutionProvider"]


@pytest.mark.parametrize("name", STUDIES)
def test_a_card_leaves_all_providers_in(name: str) -> None:
    whole = yaml.safe_load((GPU / name).read_text("utf-8"))
    here = {
        "onnxruntime": ("CUDAExecutionProvider", "CPUExecutionProvider"),
        "pytorch": ("eager-cuda", "eager-cuda-graphs", "compile-cuda"),
    }
    values, _ = fitted(whole, here)
    assert values["space"]["execution_provider"] == whole["space"]["execution_provider"]


@pytest.mark.parametrize("kind", ["Pictures", "Sentences"])
def test_every_model_of_the_workloads_takes_the_data(kind: str) -> None:
    loaded = LoadedWorkload(f"workload.py:{kind}", GPU)
    inputs = torch.from_numpy(loaded.data.validation.inputs[:2])
    classes = set(loaded.data.train.targets)
    for name in loaded.models:
        assert loaded.build_model(name).eval()(inputs).shape == (2, len(classes))


@pytest.mark.slow
def test_a_plain_loop_answers_and_times_itself(tmp_path: Path) -> None:
    model, inputs = tmp_path / "model.onnx", tmp_path / "inputs.npy"
    [rows] = by_hand(model, np.random.default_rng(0)).values()
    np.save(inputs, rows[:10])
    wanted = onnxruntime.InferenceSession(model).run(None, {"input": rows[:10]})[0]
    program = tmp_path / "model.pt2"
    layer = torch.nn.Linear(rows.shape[1], 3).eval()
    torch.export.save(torch.export.export(layer, (torch.from_numpy(rows[:4]),)), program)
    for provider, file, expected in (
        ("CPUExecutionProvider", model, wanted),
        ("eager-cpu", program, layer(torch.from_numpy(rows[:10])).detach().numpy()),
    ):
        with PlainProcess(sys.executable, provider, file, inputs, 4, {}) as loop:
            times = loop.time(0.0, 0.01)
            loop.answers(tmp_path / "answers.npy")
        assert 0 < times["p50_ms"] <= times["p95_ms"]
        assert times["events_p50_ms"] is None
        np.testing.assert_allclose(
            np.load(tmp_path / "answers.npy"), expected, rtol=1e-5, atol=1e-6
        )


def test_the_page_names_the_card_and_fits_on_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratio = {"runner_ms": 1.0, "loop_ms": 1.0, "ratio": 1.002, "low": 0.99, "high": 1.01}
    row = {"target": "pytorch/eager-cuda", "batch_size": 1, "launches": 3, "wall": ratio}
    row |= {"events_ms": 0.9, "device_by_events": ratio, "device_by_clock": ratio}
    write(tmp_path / "machine.json", {"card": "NVIDIA Test Card, GPU-1", "packages": {}})
    write(tmp_path / "agreement.json", {"tolerance": 0.03, "missing": [], "rows": [row] * 4})
    point = {
        **{"study": "pictures", "trial": 1, "kind": "published", "device": "gpu:0"},
        **{"student": "reference", "quantization": "fp16", "batch_size": 64},
        **{"execution_provider": "pytorch/eager-cuda", "intra_op_threads": 1},
        **{"quality": 0.9, "latency_p95_ms": 1.0, "throughput_samples_per_s": 1e5},
    }
    write(tmp_path / "frontier.json", [point] * 20)
    scheme = {"model": "pictures", "target": "pytorch/eager-cuda", "p50_ms": 1.0}
    sizes = [{**scheme, "scheme": f"s{n}", "batch_size": n % 3} for n in range(60)]
    write(tmp_path / "schemes.json", [*sizes, {**sizes[0], "failure": "not reached in time"}])
    (tmp_path / "steps.tsv").write_text("machine\t0\t3\ncontract\t124\t110\nmachine\t0\t4\n")
    write(tmp_path / "contract.json", {"eager-cuda-1": 1, "eager-cuda-2": 0, "test_card": 2})
    (tmp_path / "contract-eager-cuda-2.xml").write_text(
        '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>'
        '<testcase name="c"><skipped message="no card"/></testcase></testsuite></testsuites>'
    )
    page.main(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= page.MOST_LINES
    assert lines[0] == "# Paretune on NVIDIA Test Card, GPU-1"
    assert "eager-cuda: 1 passed, 1 failed, 1 skipped" in lines
    assert "test_card: 0 passed, 0 failed, 0 skipped; NOT FINISHED in time" in lines
    assert "steps: machine ok (4 s), contract OUT OF TIME (110 s)" in lines
    assert any("on gpu:0" in line for line in lines)


def test_the_page_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page.main(tmp_path)
    assert capsys.readouterr().out.startswith("# Paretune on no card here")


def test_the_script_knows_its_steps(tmp_path: Path) -> None:
    script = GPU / "check.sh"
    usage = subprocess.run([script], capture_output=True, text=True)
    assert usage.returncode == 2 and "check.sh OUT [STEP ...]" in usage.stdout
    done = subprocess.run(
        [script, tmp_path / "out", "page", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "no step nothing" in done.stderr
    assert (tmp_path / "out" / "page.md").is_file()


def write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values), "utf-8")
