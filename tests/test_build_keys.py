"""Builds that are found again: after an edit, after an eviction, and by equal content."""

import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from conftest import IRIS
from torch import nn

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.keys import reads_of
from paretune.runners.store.artifact import file_digest
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import BuildSpec, Quantization

QUICK = """
import os
import torch
from dataclasses import replace
from iris_workload import Iris
class Quick(Iris):
    def recipe(self):
        few = {"reference_epochs": 1, "distill_epochs": 1, "fine_tune_epochs": 1}
        return replace(super().recipe(), **few)
class Restless(Quick):
    def train(self, model, data, **rest):
        torch.manual_seed(int.from_bytes(os.urandom(4), "big"))
        with torch.no_grad():
            for each in model.parameters():
                each += 0.01 * torch.randn_like(each)
        return []
"""
RESTLESS = BuildSpec("small", 0.5, Quantization.INT8_DYNAMIC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(IRIS.parent))
    (tmp_path / "workload.py").write_text(QUICK, "utf-8")
    return tmp_path


def builder(folder: Path, name: str = "Quick", store: ArtifactStore | None = None) -> Builder:
    workload = LoadedWorkload(f"workload.py:{name}", folder)
    return Builder(workload, store or ArtifactStore(folder / "store"))


def build(builder: Builder, student: str, ratio: float, quantization: str) -> Built:
    built = builder.build(BuildSpec(student, ratio, Quantization(quantization)))
    assert isinstance(built, Built), built
    return built


def test_equal_weights_give_equal_files(tmp_path: Path) -> None:
    model = nn.Linear(4, 3)
    digests = set()
    for number in range(20):
        path = tmp_path / f"{number}.safetensors"
        save_checkpoint(model, path, student="small", pruning=[["layer", True, [1, 2]]])
        digests.add(file_digest(path))
    assert len(digests) == 1


def test_a_training_that_runs_again_orphans_nothing(folder: Path) -> None:
    restless = builder(folder, "Restless")
    first = build(restless, "small", 0.5, "int8-dynamic")
    by_stage = {record.stage: record for record in first.lineage}
    place(restless, by_stage["fine-tune"].output).unlink()
    shutil.rmtree(place(restless, by_stage["export"].output))
    other = build(restless, "small", 0.5, "int8-weight")
    assert set(other.stage_seconds) == {"fine-tune", "export", "quantize"}
    trained = {record.stage: record.output for record in other.lineage}["fine-tune"]
    assert trained != by_stage["fine-tune"].output  # it was trained anew
    assert restless.missing(RESTLESS) == []
    again = build(restless, "small", 0.5, "int8-dynamic")
    assert again.artifact == first.artifact and not again.stage_seconds


def place(builder: Builder, output: str) -> Path:
    return builder.store.root / "objects" / output[:2] / output


SAME_REFERENCE = """
    def train_reference(self, model, data):
        with torch.no_grad():
            for each in model.parameters():
                each.{fill}
"""


def test_a_stage_that_gives_what_was_there_cuts_the_rest_short(folder: Path) -> None:
    for fill, expected in (
        ("fill_(0.5)", {"reference", "distill", "export", "quantize"}),
        ("zero_().add_(0.5)", {"reference"}),
        ("add_(0.5)", {"reference", "distill", "export", "quantize"}),
    ):
        method = SAME_REFERENCE.format(fill=fill)
        text = QUICK.replace("class Restless", f"{method}\nclass Restless")
        (folder / "workload.py").write_text(text, "utf-8")
        built = build(builder(folder), "small", 0.0, "int8-weight")
        assert set(built.stage_seconds) == expected, fill


def test_two_ratios_that_remove_the_same_channels_are_trained_once(folder: Path) -> None:
    quick = builder(folder)
    first = build(quick, "small", 0.5, "fp32")
    assert "fine-tune" in first.stage_seconds
    second = build(quick, "small", 0.45, "fp32")
    assert set(second.stage_seconds) == {"prune"}
    assert second.artifact == first.artifact
    assert second.lineage[-1].key != first.lineage[-1].key


class LosesOnce(ArtifactStore):
    """Loses the output of a stage while another stage waits to start from it."""

    lost = ""

    def claim(self, key: str) -> AbstractContextManager[None]:
        if self.lost and (path := self.root / "objects" / self.lost[:2] / self.lost).is_file():
            path.unlink()
            self.lost = ""
        return super().claim(key)


def test_an_output_that_vanishes_is_made_again(folder: Path) -> None:
    store = LosesOnce(folder / "store")
    quick = builder(folder, store=store)
    reference = build(quick, "reference", 0.0, "fp32").lineage[0]
    store.lost = reference.output
    pruned = build(quick, "reference", 0.5, "fp32")
    assert not store.lost
    assert set(pruned.stage_seconds) == {"reference", "prune", "fine-tune", "export"}


PART_OF = {
    "train_reference": "reference",
    "keep_layers": "pruning",
    "attention_heads": "pruning",
    "dynamic_axes": "export",
    **dict.fromkeys(("quality", "quality_metric", "metrics"), "metric"),
    **dict.fromkeys(("train", "loss"), "training"),
}


def watch(watched: object, seen: set[str]) -> None:
    """Note which attributes of an object are read."""
    kind: Any = type(watched)

    class Watched(kind):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            seen.add(name)
            return super().__getattribute__(name)

    object.__setattr__(watched, "__class__", Watched)


@pytest.mark.parametrize("quantization", ["int8-qat", "int8-dynamic", "int4-weight"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_stages_read_what_their_keys_are_made_of(
    folder: Path, quantization: str, share: float
) -> None:
    quick, asked, now = builder(folder), set[str](), "outside"
    seen: dict[str, set[str]] = defaultdict(set)

    def begin(stage: str) -> None:
        nonlocal now
        seen[now] |= asked
        asked.clear()
        now = stage

    quick.announce = begin
    watch(quick.loaded.data, asked)
    watch(quick.loaded.workload, asked)
    spec = BuildSpec("small", 0.5, Quantization(quantization), share)
    steps = quick._plan(spec)
    built = quick.build(spec)
    assert isinstance(built, Built), built
    begin("")
    for stage, params in steps:
        reads = reads_of(stage, params)
        allowed = {*reads.splits, *(["train"] if "inputs" in reads.parts else [])}
        # The workload's `train` and the split of that name cannot be told apart.
        splits = seen[stage] & {"train", "calibration", "validation", "test"}
        assert splits <= allowed, stage
        parts = {PART_OF[name] for name in seen[stage] & PART_OF.keys() - {"train"}}
        assert parts <= set(reads.parts), stage


WORKLOAD = """
from dataclasses import replace
from iris_workload import Iris
from mynets.nets import Large, Small
class Study(Iris):
    def models(self):
        return {"reference": Large, "small": Small}
    def recipe(self):
        few = {"reference_epochs": 1, "distill_epochs": 1, "fine_tune_epochs": 1}
        return replace(super().recipe(), **few)
"""
PACKAGE = """
from torch import nn
class Large(nn.Sequential):
    def __init__(self, width=64):
        super().__init__(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))
class Small(Large):
    def __init__(self):
        super().__init__(16)
class Tiny(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 24), nn.Tanh(), nn.Linear(24, 3))
"""


@pytest.fixture
def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of a package that was installed from its own folder (``pip install -e``)."""
    path = folder / "elsewhere" / "mynets" / "nets.py"
    path.parent.mkdir(parents=True)
    (path.parent / "__init__.py").write_text("", "utf-8")
    path.write_text(PACKAGE, "utf-8")
    monkeypatch.syspath_prepend(str(folder / "elsewhere"))
    yield path
    forget()


def forget() -> None:
    """Let the package be loaded anew, as in another process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mynets"]:
        del sys.modules[name]


@pytest.mark.slow
def test_the_morning_after(folder: Path, package: Path) -> None:
    """What runs after each edit, by the store's log."""
    (folder / "study").mkdir()
    workload = folder / "study" / "workload.py"
    workload.write_text(WORKLOAD, "utf-8")

    def night(students: Sequence[str]) -> list[str]:
        forget()
        loaded = LoadedWorkload("workload.py:Study", workload.parent)
        night = Builder(loaded, ArtifactStore(folder / "store"))
        before, ran = len(night.store.executions()), []
        for student in students:
            for ratio, quantization in ((0.0, "fp32"), (0.5, "int8-static")):
                build(night, student, ratio, quantization)
        for entry in night.store.executions()[before:]:
            if entry["event"] == "finished":
                record = night.store.note(entry["key"])
                assert record is not None
                ran.append(record.stage)
        return ran

    def edit(path: Path, old: str, new: str) -> None:
        text = path.read_text("utf-8")
        assert old in text
        path.write_text(text.replace(old, new), "utf-8")

    print("\nthe first night:", *(first := night(["reference", "small"])))
    assert first.count("reference") == 1 and first.count("distill") == 1
    # A student is added: it is distilled, and nothing else runs.
    edit(workload, '"small": Small', '"small": Small, "tiny": Tiny')
    edit(workload, "Large, Small", "Large, Small, Tiny")
    print("a student was added:", *(added := night(["reference", "small", "tiny"])))
    assert added == ["distill", "export", "prune", "fine-tune", "export", "quantize"]
    # A line of the package is edited: what has that line is built again.
    edit(package, "nn.Tanh()", "nn.GELU()")
    print("a line of the new student:", *(edited := night(["reference", "small", "tiny"])))
    assert edited == added
    edit(package, "from torch import nn", "from torch import nn  # layers")
    edit(workload, "class Study(Iris):", 'class Study(Iris):\n    """Irises."""')
    print("comments:", *(comments := night(["reference", "small", "tiny"])))
    assert comments == []
    edit(package, "nn.ReLU()", "nn.ReLU6()")
    print("a line of all models:", *(all_of_it := night(["reference", "small"])))
    assert all_of_it == first
