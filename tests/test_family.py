"""Students with weights of their own, and students that inherit the reference's."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import IRIS
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from paretune import inheriting, pretrained
from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.inheritance import inherit, source_names
from paretune.runners.build.plan import plan
from paretune.runners.build.tracing import Example
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.recipe import Recipe
from paretune.runners.workload.students.student import load_weights, origin_of
from paretune.spaces import BuildSpec, Quantization, WorkloadError

FAMILY = """
from functools import partial
from pathlib import Path
from iris_workload import Iris, network
from paretune import Recipe, inheriting, pretrained
class Family(Iris):
    def models(self):
        return {
            "reference": pretrained(partial(network, 64), "large.safetensors"),
            "small": pretrained(partial(network, 16), Path("small.pt")),
            "child": inheriting(partial(network, 32)),
        }
    def train_reference(self, model, data):
        raise AssertionError("it is trained")
    def recipe(self):
        return Recipe(distill_epochs=1, refine_epochs=REFINE, fine_tune_epochs=1)
"""


def family(folder: Path, monkeypatch: pytest.MonkeyPatch, refine: int = 0) -> Builder:
    monkeypatch.syspath_prepend(str(IRIS.parent))
    from iris_workload import network

    torch.manual_seed(1)
    save_file(network(64).state_dict(), folder / "large.safetensors")
    torch.save({"state_dict": network(16).state_dict()}, folder / "small.pt")
    (folder / "family.py").write_text(FAMILY.replace("REFINE", str(refine)), "utf-8")
    loaded = LoadedWorkload("family.py:Family", folder)
    return Builder(loaded, ArtifactStore(folder / "store"))


def built(builder: Builder, student: str, ratio: float = 0.0) -> Built:
    found = builder.build(BuildSpec(student, ratio, Quantization.FP32))
    assert isinstance(found, Built), found
    return found


def test_a_student_with_weights_of_its_own_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = family(tmp_path, monkeypatch)
    assert "distill" not in {record.stage for record in built(builder, "small").lineage}
    spec = BuildSpec("small", 0.0, Quantization.INT8_STATIC)
    assert builder.missing(spec) == ["quantize"]  # so no skeleton is measured before it
    [kept] = [each for each in built(builder, "small").lineage if each.stage == "pretrained"]
    path = builder.store.get(kept.output)
    assert path is not None
    given, found = torch.load(tmp_path / "small.pt")["state_dict"], load_file(path)
    assert all(torch.equal(given[name], found[name]) for name in given)
    assert not built(builder, "reference").train_losses


def test_it_is_refined_if_the_recipe_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = family(tmp_path, monkeypatch, refine=2)
    found = built(builder, "small", 0.5)
    stages = [record.stage for record in found.lineage]
    assert stages == ["reference", "pretrained", "distill", "prune", "fine-tune", "export"]
    assert len(found.train_losses["distill"]) == 2


def test_the_plan_says_where_weights_come_from() -> None:
    spec, recipe = BuildSpec("small", 0.0, Quantization.FP32), Recipe(distill_epochs=4)

    def steps(origin: str, **options: bool) -> dict[str, dict[str, object]]:
        return dict(plan(spec, recipe, origin=origin, **options))  # type: ignore[arg-type]

    assert list(steps("trained")) == ["reference", "pretrained", "export"]
    assert list(steps("trained", is_skeleton=True)) == ["reference", "pretrained", "export"]
    assert "start" not in steps("fresh")["distill"]  # as it was before there was a choice
    assert steps("inherited")["distill"]["start"] == "inherited"


def test_a_child_starts_as_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = family(tmp_path, monkeypatch)
    [distilled] = [each for each in built(builder, "child").lineage if each.stage == "distill"]
    assert distilled.metrics["inherited_share"] == 1.0


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3, 3)}, tmp_path / "x.safetensors")
    with pytest.raises(WorkloadError, match=r"x\.safetensors holds no weights of Linear"):
        load_weights(nn.Linear(2, 2), tmp_path / "x.safetensors")
    with pytest.raises(WorkloadError, match=r"gone\.pt"):
        load_weights(nn.Linear(2, 2), tmp_path / "gone.pt")


def test_origins() -> None:
    make: Callable[[], nn.Module] = partial(nn.Linear, 2, 2)
    assert [origin_of(each) for each in (make, pretrained(make), inheriting(make))] == [
        "fresh",
        "trained",
        "inherited",
    ]
    assert isinstance(pretrained(make)(), nn.Linear)


def test_of_a_longer_run_every_other_member_is_the_source() -> None:
    reference = [f"encoder.{i}.{n}" for i in range(4) for n in ("a.0.w", "a.2.w")] + ["head.w"]
    student = [f"encoder.{i}.{n}" for i in range(2) for n in ("a.0.w", "a.2.w")] + [
        "head.w",
        "new.w",
    ]
    assert source_names(student, reference) == {
        "encoder.0.a.0.w": "encoder.0.a.0.w",
        "encoder.0.a.2.w": "encoder.0.a.2.w",
        "encoder.1.a.0.w": "encoder.2.a.0.w",
        "encoder.1.a.2.w": "encoder.2.a.2.w",
        "head.w": "head.w",
    }


class Tower(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)))
        self.head = nn.Linear(width * 16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.stem(inputs)).relu()
        for block in self.blocks:
            hidden = hidden + block(hidden).relu()
        outputs: Tensor = self.head(nn.functional.adaptive_avg_pool2d(hidden, 4).flatten(1))
        return outputs


def tower() -> Tower:
    """A trained tower, whose every other channel hardly counts."""
    torch.manual_seed(0)
    made = Tower(16, 4).eval()
    with torch.no_grad():
        for name, each in made.named_parameters():
            if name.startswith(("stem", "norm", "blocks")):
                each[1::2] *= 1e-3
    return made


def test_layers_and_channels_are_inherited() -> None:
    """A student started from noise, although its teacher's weights lay beside it (C31)."""
    reference, example = tower(), Example({"input": torch.randn(2, 1, 8, 8)})
    batches = [{"input": torch.randn(8, 1, 8, 8)} for _ in range(4)]
    expected = reference(example.tensors["input"])
    first, third = (reference.blocks[i].weight.detach() for i in (0, 2))
    student = Tower(8, 2).eval()
    assert inherit(student, tower, example, batches) == 1.0
    torch.testing.assert_close(student.blocks[0].weight, first[::2, ::2], atol=0.01, rtol=0.1)
    torch.testing.assert_close(student.blocks[1].weight, third[::2, ::2], atol=0.01, rtol=0.1)
    same = Tower(16, 4).eval()
    assert inherit(same, tower, example, batches) == 1.0
    assert torch.equal(same(example.tensors["input"]), expected)
    narrow = Tower(8, 4).eval()
    inherit(narrow, tower, example, batches)
    # What is missing are channels that hardly count.
    found = narrow(example.tensors["input"]).detach().numpy()
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=0.02)


def test_what_reads_a_missing_channel_makes_up_for_it() -> None:
    """Every other channel is a weak copy, which a student of half the width does without."""

    def twins() -> nn.Module:
        torch.manual_seed(0)
        made = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3)).eval()
        with torch.no_grad():
            for each in made[0].parameters():
                each[1::2] = each[::2] / 10
            made[2].weight[:, 1::2] /= 2
        return made

    given, batches = torch.randn(16, 4), [{"input": torch.randn(64, 4)} for _ in range(4)]
    student = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    assert inherit(student, twins, Example({"input": given[:2]}), batches) == 1.0
    right = twins()(given)
    assert (student(given) - right).abs().max() < 0.01 * right.abs().max()


def test_what_does_not_fit_stays_as_constructed() -> None:
    torch.manual_seed(0)
    student, reference = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), nn.Linear(4, 3)
    before = student[0].weight.detach().clone()
    example = Example({"input": torch.randn(2, 4)})
    assert inherit(student, lambda: reference, example, []) == 0.0
    assert torch.equal(student[0].weight, before)
