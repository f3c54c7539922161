"""The training loop: data in any form, a teacher on the same view, and what the recipe asks for."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretune.runners.failure import StageError
from paretune.runners.workload.data import Data, Split
from paretune.runners.workload.datasets.torch_data import TorchData
from paretune.runners.workload.learning import progress
from paretune.runners.workload.learning.losses import distillation_loss
from paretune.runners.workload.learning.teacher import Teacher
from paretune.runners.workload.learning.training import train
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import WorkloadError


def data(samples: int = 64, **targets: Any) -> Data:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(samples, 4)).astype(np.float32)
    split = Split(inputs, (inputs[:, 0] > 0).astype(targets.get("dtype", np.int64)))
    return Data(split, split, split, split)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def judge(found: Any) -> float:
    rights = [outputs["output"].argmax(1) == targets for outputs, targets in found]
    return float(np.concatenate(rights).mean())


def trained(model: nn.Module, given: Data | None = None, **options: Any) -> list[float]:
    recipe = options.pop("recipe", Recipe(batch_size=16))
    options = {"epochs": 6, "seed": 0, "peak_learning_rate": 0.02, **options}
    return train(
        model,
        given or data(),
        lambda outputs, targets, teacher: distillation_loss(outputs, targets, teacher, recipe),
        judge,
        recipe=recipe,
        **options,
    )


@pytest.mark.parametrize("samples", [65, 64 * 16 + 1])
def test_a_last_batch_of_one_sample_is_no_mistake(samples: int) -> None:
    """ "Expected more than 1 value per channel when training" (case 42)."""
    assert np.isfinite(trained(network(), data(samples), epochs=2)).all()


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int16, np.bool_, ">i4"])
def test_classes_of_any_width_are_classes(dtype: Any) -> None:
    """ "expected target dtype to be Long or Byte, but got Int" (case 43)."""
    losses = trained(network(), data(dtype=dtype))
    assert losses == trained(network()) and losses[-1] < losses[0]


def test_targets_that_are_no_classes_are_refused() -> None:
    """They were taken for probabilities of classes (C32)."""
    outputs = torch.zeros(4, 3)
    with pytest.raises(WorkloadError, match=r"needs classes \(integers\).*float32.*write loss\(\)"):
        distillation_loss(outputs, torch.zeros(4, 3), None, Recipe())
    with pytest.raises(WorkloadError, match=r"got \(4, 3\) and \(4, 2\)"):
        distillation_loss(outputs, torch.zeros(4, 2, dtype=torch.int32), None, Recipe())


@pytest.mark.parametrize("place", [1, 2])
def test_classes_of_each_token_or_pixel(place: int) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 5, 3), torch.randint(0, 3, (2, 5))
    targets[0, 1:] = -100
    right = nn.functional.cross_entropy(logits[targets >= 0], targets[targets >= 0])
    given = logits.movedim(2, place)
    assert distillation_loss(given, targets, None, Recipe()).item() == pytest.approx(right.item())
    # A teacher that says the same adds nothing where there is a target, and nothing elsewhere.
    found = distillation_loss(given, targets, given, Recipe(teacher_share=0.5))
    assert found.item() == pytest.approx(right.item() / 2)


def test_classes_may_have_weights() -> None:
    outputs, targets = torch.tensor([[0.0, 2.0], [0.0, 2.0]]), torch.tensor([0, 1])
    found = distillation_loss(outputs, targets, None, Recipe(class_weights=(1.0, 0.0)))
    assert found.item() == pytest.approx(
        nn.functional.cross_entropy(outputs[:1], targets[:1]).item()
    )


class Several(nn.Module):
    """Logits and features, as a tuple or a mapping (case 44)."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.inner, self.head = form, nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Any:
        hidden = self.inner(inputs).relu()
        logits = self.head(hidden)
        return (logits, hidden) if self.form == "tuple" else {"hidden": hidden, "logits": logits}


@pytest.mark.parametrize("form", ["tuple", "mapping"])
def test_a_model_may_have_several_outputs(form: str) -> None:
    seen = []

    def judged(found: Any) -> float:
        for outputs, _ in found:
            seen.append(list(outputs))
        return 0.0

    model = Several(form)
    losses = train(
        model,
        data(),
        lambda outputs, targets, teacher: distillation_loss(outputs, targets, teacher, Recipe()),
        judged,
        epochs=6,
        recipe=Recipe(batch_size=16),
        seed=0,
        peak_learning_rate=0.02,
        teacher=Teacher(Several(form)),
    )
    assert losses[-1] < losses[0]
    names = ["output", "output_1"] if form == "tuple" else ["hidden", "logits"]
    assert seen[0] == names


class Counted(nn.Module):
    """A teacher that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.asked.append(inputs.clone())
        return inputs[:, :2]


def test_the_teacher_sees_the_view_that_the_student_sees() -> None:
    """Its answers were those for the stored samples (C33)."""
    teacher, views = Counted(), []

    def augment(inputs: dict[str, Tensor], targets: Any) -> Any:
        noisy = inputs["input"] + torch.randn_like(inputs["input"])
        views.append(noisy)
        return {"input": noisy}, targets

    trained(network(), teacher=Teacher(teacher), augment=augment)
    assert len(views) == 6 * 4
    assert all(torch.equal(one, other) for one, other in zip(views, teacher.asked, strict=True))


def test_answers_to_samples_that_stay_are_kept() -> None:
    teacher = Counted()
    wise = Teacher(teacher)
    recipe = Recipe(batch_size=16, patience_epochs=0)
    once = trained(network(), teacher=wise, recipe=recipe)
    assert sum(len(each) for each in teacher.asked) == 64
    assert trained(network(), teacher=wise, recipe=recipe) == once
    assert len(teacher.asked) == 4


def test_answers_to_samples_that_may_change_are_not_kept() -> None:
    """A data set of PyTorch may show another view of a sample in each epoch."""

    class Changing(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 64

        def __getitem__(self, place: int) -> Any:
            return torch.randn(4), place % 2

    teacher, given = Counted(), data()
    changing = Data(TorchData(Changing(), "1"), given.train, given.train, given.train)
    trained(network(), changing, teacher=Teacher(teacher), epochs=2)
    assert sum(len(each) for each in teacher.asked) == 128


def test_a_teacher_that_does_not_count_is_not_asked() -> None:
    teacher = Counted()
    trained(network(), teacher=Teacher(teacher), recipe=Recipe(batch_size=16, teacher_share=0.0))
    assert not teacher.asked


def test_every_generator_is_seeded() -> None:
    """Augmentation by numpy's or Python's generator could not be repeated (C32)."""

    def noise(inputs: dict[str, Tensor], targets: Any) -> Any:
        shift = np.random.rand() + random.random() + float(torch.rand(()))
        return {"input": inputs["input"] + shift}, targets

    assert trained(network(), augment=noise) == trained(network(), augment=noise)


def test_gradients_are_clipped() -> None:
    for norm, largest in ((0.0, 1e9), (1e-4, 1e-3)):
        model = nn.Linear(4, 2)
        given = data()
        seen: list[float] = []
        model.weight.register_post_accumulate_grad_hook(lambda p: None)
        inner = nn.utils.clip_grad_norm_

        def clip(parameters: Any, limit: float, inner: Any = inner, seen: Any = seen) -> Any:
            parameters = list(parameters)
            found = inner(parameters, limit)
            seen.append(float(sum(p.grad.norm() ** 2 for p in parameters) ** 0.5))
            return found

        nn.utils.clip_grad_norm_ = clip
        try:
            trained(model, given, recipe=Recipe(batch_size=16, clip_norm=norm), epochs=1)
        finally:
            nn.utils.clip_grad_norm_ = inner
        assert bool(seen) is (norm > 0) and max(seen, default=0.0) < largest


@pytest.mark.parametrize("patience", [0, 3])
def test_the_average_of_the_weights_is_what_is_kept(patience: int) -> None:
    plain, averaged = network(), network()
    options = {"batch_size": 16, "patience_epochs": patience}
    losses = trained(plain, recipe=Recipe(**options), epochs=3)
    same = trained(averaged, recipe=Recipe(**options, average_decay=0.9), epochs=3)
    assert same == losses  # the training itself is the same
    assert not torch.equal(plain[0].weight, averaged[0].weight)
    assert (plain[0].weight - averaged[0].weight).abs().max() < 0.5


def test_bfloat16_on_any_device() -> None:
    seen = set()
    model = network()
    model[0].register_forward_hook(lambda module, given, found: seen.add(found.dtype))
    assert np.isfinite(trained(model, recipe=Recipe(batch_size=16, precision="bf16"))).all()
    assert torch.bfloat16 in seen


def test_progress_is_told_epoch_by_epoch() -> None:
    epochs: list[progress.Epoch] = []
    with progress.listening(epochs.append):
        losses = trained(network(), epochs=3)
    trained(network(), epochs=1)
    assert [(each.number, each.count, each.loss) for each in epochs] == [
        (1, 3, losses[0]),
        (2, 3, losses[1]),
        (3, 3, losses[2]),
    ]
    assert epochs[-1].seconds_left == 0 and epochs[-1].quality is not None


def test_flipped_pictures_and_big_endian_numbers() -> None:
    """ "At least one stride in the given numpy array is negative" (case 45)."""
    plain = data()
    flipped = Split(plain.train.inputs[:, ::-1].astype(">f4")[:, ::-1], plain.train.targets)
    assert trained(network(), Data(flipped, flipped, flipped, flipped)) == trained(network())


def test_inputs_by_name_are_given_by_keyword() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 2)

        def forward(self, *, features: Tensor, mask: Tensor) -> Tensor:
            outputs: Tensor = self.inner(features * mask)
            return outputs

    inputs, targets = data().train.inputs, data().train.targets
    split = Split({"mask": np.ones_like(inputs), "features": inputs}, targets)
    assert trained(Named(), Data(split, split, split, split))[-1] < 0.7


def test_a_loss_that_is_no_number_is_a_failure() -> None:
    given = data()
    given.train.inputs[3, 1] = 1e38
    with pytest.raises(StageError, match="the training loss became"):
        trained(nn.Linear(4, 2), given, peak_learning_rate=1e30)
