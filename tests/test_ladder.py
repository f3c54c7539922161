"""The experiments: each is a workload that really runs (digits has its own tests)."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import QUICK, start_paretune
from PIL import Image

import paretune
from paretune.runners.formats import FORMATS
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import SCHEMES, WorkloadError

CPU = "CPUExecutionProvider"
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def quick_copy(name: str, folder: Path, **changes: Any) -> Path:
    """Write an experiment's study file into a folder, with quick measurements."""
    source = EXPERIMENTS / name / "study.yaml"
    values = yaml.safe_load(source.read_text("utf-8"))
    values["workload"] = f"{EXPERIMENTS / name}/{values['workload']}"
    values |= {"measurement": QUICK, "confirmation": {"enabled": False}, "tracking": False}
    values["budget"] = {"trials": 8}
    study = folder / "study.yaml"
    study.write_text(yaml.safe_dump(values | changes), "utf-8")
    return study


def draw(folder: Path, rng: np.random.Generator, each: int = 40) -> Path:
    """Draw discs, squares and stripes, of random place, size and colours, under noise."""
    rows, columns = np.mgrid[0:40, 0:40]
    for name in ("disc", "square", "stripes"):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            row, column, size = [*rng.uniform(12, 28, 2).tolist(), rng.uniform(6, 11)]
            inside = {
                "disc": np.hypot(rows - row, columns - column) < size,
                "square": np.maximum(abs(rows - row), abs(columns - column)) < size,
                "stripes": (rows // max(int(size) // 2, 2)) % 2 == 0,
            }[name]
            colours = rng.uniform(0, 255, (2, 3))
            pixels = np.where(inside[..., None], *colours) + rng.normal(0, 12, (40, 40, 3))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(folder / name / f"{number}.png")
    return folder


@pytest.mark.slow
def test_tabular(tmp_path: Path) -> None:
    study = quick_copy("tabular", tmp_path)
    done = start_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    assert history.baseline and history.baseline.metrics["accuracy"] > 0.9
    # One student may beat all else in everything.
    assert history.frontier and len({r.candidate.build.student for r in history.measured}) >= 2


@pytest.mark.slow
def test_langid(tmp_path: Path) -> None:
    space = {"student": ["reference", "tiny"], "pruning_ratio": [0.0], "batch_size": [1]}
    made = FORMATS.get("onnx")
    schemes = {each.name for each in SCHEMES if made.takes(each)} - {"fp32-cast"}  # of float64 only
    space |= {"quantization": sorted(schemes, key=SCHEMES.names.index), "intra_op_threads": [1]}
    study = quick_copy("langid", tmp_path, space=space | {"execution_provider": [CPU]})
    done = start_paretune("search", study, "--trials", "14", timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    assert not history.failed, history.failures_by_cause
    assert {r.candidate.build.quantization for r in history.measured} == schemes
    for record in history.measured:
        if record.candidate.build.student == "reference" and history.baseline:
            lost = history.baseline.metrics["accuracy"] - record.metrics["accuracy"]
            assert lost < 0.1, record.candidate.label
    # 36 languages: a guess is right once in 36 times.
    assert history.baseline and 0.5 < history.baseline.metrics["accuracy"] < 0.99
    assert {r.candidate.build.student for r in history.measured} == {"reference", "tiny"}


@pytest.mark.slow
def test_any_folder_of_images(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETUNE_IMAGES", str(draw(tmp_path / "images", rng)))
    study = quick_copy("imagefolder", tmp_path)
    done = start_paretune("search", study, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    assert history.baseline and history.baseline.metrics["accuracy"] > 0.6
    assert {record.candidate.build.student for record in history.measured} >= {"reference", "small"}


def test_a_folder_without_images_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETUNE_IMAGES", str(tmp_path))
    with pytest.raises(WorkloadError, match="at least two classes"):
        LoadedWorkload("workload.py:ImageFolder", EXPERIMENTS / "imagefolder")


@pytest.mark.slow
def test_a_family_of_trained_models(tmp_path: Path) -> None:
    """A frontier over members that are trained already: nothing is trained, and each is tried."""
    source = EXPERIMENTS / "family"
    for name in ("workload.py", "pretrain.py"):
        shutil.copy(source / name, tmp_path)
    subprocess.run([sys.executable, tmp_path / "pretrain.py", "--epochs", "1"], check=True)
    values = yaml.safe_load((source / "study.yaml").read_text("utf-8"))
    values |= {"measurement": QUICK, "confirmation": {"enabled": False}, "tracking": False}
    values["budget"] = {"trials": 10}
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(values), "utf-8")
    done = start_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = paretune.status(study)
    assert len({record.candidate.build.student for record in history.measured}) == 4
    assert all(not record.train_losses for record in history.records)
    assert {"pretrained", "export"} <= set(history.measured[-1].lineage)
