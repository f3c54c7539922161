"""What a student learns from: targets and a teacher, against values worked out by hand."""

import math

import pytest
import torch

from paretune.runners.workload.learning.losses import distillation_loss
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import WorkloadError

RECIPE = Recipe(temperature=2.0, teacher_share=0.7)
OUTPUTS, TARGETS = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
HARD = math.log(1 + math.exp(-2))


def test_without_a_teacher_it_is_the_cross_entropy() -> None:
    assert distillation_loss(OUTPUTS, TARGETS, None, RECIPE).item() == pytest.approx(HARD)


def test_a_teacher_counts_by_its_share_and_the_squared_temperature() -> None:
    # Softened, the student says (p, 1 - p) and the teacher (1 - p, p), and ln(p / (1 - p)) is 1.
    p = 1 / (1 + math.exp(-1))
    divergence = (1 - p) * -1 + p * 1
    teacher = torch.tensor([[0.0, 2.0]])
    found = distillation_loss(OUTPUTS, TARGETS, teacher, RECIPE).item()
    assert found == pytest.approx(0.7 * 2**2 * divergence + 0.3 * HARD)


def test_who_says_what_the_teacher_says_learns_from_the_targets_alone() -> None:
    found = distillation_loss(OUTPUTS, TARGETS, OUTPUTS + 5.0, RECIPE).item()
    assert found == pytest.approx(0.3 * HARD)


def test_it_is_a_mean_over_the_batch() -> None:
    teacher = torch.tensor([[0.0, 2.0]])
    one = distillation_loss(OUTPUTS, TARGETS, teacher, RECIPE)
    many = [tensor.repeat_interleave(5, dim=0) for tensor in (OUTPUTS, TARGETS, teacher)]
    assert distillation_loss(*many, RECIPE).item() == pytest.approx(one.item())


def test_a_student_with_other_classes_than_the_reference_is_told_so() -> None:
    with pytest.raises(WorkloadError, match="the student has 2 classes, and the reference 3: give"):
        distillation_loss(OUTPUTS, TARGETS, torch.tensor([[0.0, 2.0, 1.0]]), RECIPE)
