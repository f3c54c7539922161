"""A bundle states its promises, and whether it still keeps them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import QUICK_CONFIRMATION, copy_study, run_paretune

from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.verification import (
    SETTINGS,
    Verdict,
    judge_times,
    promised_time,
    verify,
)
from paretune.spaces import StudyError

QUICK = replace(SETTINGS, **QUICK_CONFIRMATION, extra_launches=0, idle_wait_s=20.0)


@pytest.fixture(scope="module")
def picked(searched_iris: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picked")
    study = copy_study(searched_iris, tmp_path_factory.mktemp("verified") / "study")
    done = run_paretune("pick", study, "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def bundle(picked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(picked, tmp_path / "bundle"))


def change(bundle: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    edit(manifest)
    path.write_text(json.dumps(manifest), "utf-8")


def promise(bundle: Path, value: float, low: float, high: float) -> None:
    times = {"value": value, "low": low, "high": high}

    def edit(manifest: dict[str, Any]) -> None:
        manifest["metrics"] |= {"latency_p50_ms": times, "latency_p95_ms": times}
        manifest["rechecked"] = {}

    change(bundle, edit)


def test_a_bundle_tells_its_own_story(picked: Path) -> None:
    card = (picked / "README.md").read_text("utf-8")
    manifest = json.loads((picked / "manifest.json").read_text("utf-8"))
    assert f"trial {manifest['trial']}" in card and "latency_p95_ms" in card
    assert (picked / "frontier.png").read_bytes().startswith(b"\x89PNG")
    assert len(np.load(picked / "inputs.npy")) == len(np.load(picked / "outputs.npy")) > 0


def test_the_code_in_its_readme_gives_its_answers(
    picked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picked)
    code = (picked / "README.md").read_text("utf-8").partition("```python")[2].partition("```")[0]
    found: dict[str, Any] = {}
    exec(code, found)
    answers = found["outputs"][0]
    np.testing.assert_allclose(answers, np.load("outputs.npy")[: len(answers)], atol=1e-4)


@pytest.mark.quiet
def test_a_kept_promise_and_broken_ones(bundle: Path) -> None:
    # The interval over two launches may reach below zero, and then meets any promise.
    settings = replace(QUICK, launches=6, max_launches=6)
    promise(bundle, 1.0, 0.0, 1e6)
    found = verify(bundle, settings)
    assert found.verdict is Verdict.AS_PROMISED, found.reason
    assert found.measured["latency_p50_ms"].value > 0
    promise(bundle, 1e-9, 1e-9, 1e-9)
    assert verify(bundle, settings).verdict is Verdict.SLOWER
    promise(bundle, 1e6, 1e6, 1e6)
    assert verify(bundle, settings).verdict is Verdict.FASTER


def test_times_are_judged_by_their_intervals() -> None:
    def judge(now: Statistic) -> Verdict:
        then = Statistic(1.0, 0.95, 1.05)
        names = ("latency_p50_ms", "latency_p95_ms")
        return judge_times(dict.fromkeys(names, then), dict.fromkeys(names, now))[0]

    assert judge(Statistic(1.08, 1.04, 1.12)) is Verdict.AS_PROMISED
    assert judge(Statistic(1.08, 1.06, 1.10)) is Verdict.SLOWER
    assert judge(Statistic(0.90, 0.88, 0.92)) is Verdict.FASTER


def test_a_swapped_model_is_reported(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    model.doc_string = "another file"
    onnx.save(model, bundle / "model.onnx")
    done = run_paretune("verify", bundle)
    assert done.returncode == Verdict.DAMAGED == 7
    assert "is not the file that was picked" in done.stdout
    (bundle / "model.onnx").unlink()
    assert verify(bundle, QUICK).verdict is Verdict.DAMAGED


def test_a_missing_provider_is_reported(bundle: Path) -> None:
    change(bundle, lambda m: m["run"].update(execution_provider="TensorrtExecutionProvider"))
    done = run_paretune("verify", bundle)
    assert done.returncode == Verdict.DOES_NOT_RUN == 6
    assert "TensorrtExecutionProvider is not available here" in done.stdout


def test_different_answers_are_reported(bundle: Path) -> None:
    np.save(bundle / "outputs.npy", np.load(bundle / "outputs.npy") + 1.0)
    found = verify(bundle, QUICK)
    assert found.verdict is Verdict.DIFFERENT_ANSWERS and "%" in found.reason


@pytest.fixture
def hog() -> Iterator[None]:
    """A load on every core."""
    loop = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(loop) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("hog")
def test_next_to_a_hog_the_verdict_is_cannot_tell(bundle: Path) -> None:
    promise(bundle, 1.0, 0.0, 1e6)
    found = verify(bundle, replace(QUICK, idle_wait_s=1.0))
    assert found.verdict is Verdict.CANNOT_TELL


def test_what_is_no_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot read"):
        verify(tmp_path)
    change(bundle, lambda m: m.update(manifest_version=99))
    with pytest.raises(StudyError, match="manifest version 99"):
        verify(bundle)
    done = run_paretune("verify", bundle)
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_a_promise_reaches_to_what_was_measured_when_it_was_picked() -> None:
    published = {"value": 1.0, "low": 0.9, "high": 1.1}
    again = {"value": 1.4, "low": 1.3, "high": 1.5}

    def promised(**rechecked: Any) -> tuple[float, float]:
        manifest = {"metrics": {"latency_p95_ms": published}, **rechecked}
        return promised_time(manifest, "latency_p95_ms").ends

    assert promised() == (0.9, 1.1)  # a bundle of the last version
    assert promised(rechecked={}) == (0.9, 1.1)
    outside = {"latency_p95_ms": again | {"inside": False}}
    assert promised(rechecked=outside) == (0.9, 1.5)
    inside = {"latency_p95_ms": {"value": 1.05, "low": 0.7, "high": 1.4, "inside": True}}
    assert promised(rechecked=inside) == (0.9, 1.1)
