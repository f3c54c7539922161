"""The reference as a teacher: it sees the same view of a sample as the student."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from paretune.runners.workload.data import Dataset
from paretune.runners.workload.learning.forward import (
    JUDGED_AT_ONCE,
    answers,
    forward,
    on_device,
    training_device,
)
from paretune.runners.workload.outputs import first_output

_KEPT_BYTES = 2**28
"""Answers up to this size in total are kept, so that later epochs need not ask again. Untested."""


class Teacher:
    """A trained model that students learn from.

    A student that sees a sample cropped or mirrored must hear what the teacher says of that very
    view (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", 2022,
    https://arxiv.org/abs/2106.05237), so the teacher runs in the training loop. Where the views do
    not change, its answers are kept from the first epoch on, if they are small enough.

    Args:
        model: The model, in eval mode from here on.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval().requires_grad_(False)
        self._kept: dict[str, Tensor] = {}
        self._known: Tensor | None = None

    def answers(
        self, inputs: Mapping[str, Tensor], rows: Tensor | None = None, count: int = 0
    ) -> dict[str, Tensor]:
        """Return the teacher's outputs for a batch, by name, without gradients.

        Args:
            inputs: The batch, as the student sees it, on the training device.
            rows: The samples' places in the train split, if each looks the same in every epoch.
            count: Samples in the train split.
        """
        device = next(iter(inputs.values())).device
        if rows is not None and self._known is not None and bool(self._known[rows].all()):
            return {name: each[rows].to(device) for name, each in self._kept.items()}
        self.model.to(device)
        with torch.no_grad():
            outputs = {name: each.float() for name, each in forward(self.model, inputs).items()}
        if rows is not None:
            self._keep(outputs, rows, count)
        return outputs

    def see(self, dataset: Dataset) -> None:
        """Answer for a split whose samples do not change, so that it costs no time later."""
        size = len(dataset)
        for start, batch in enumerate(dataset.batches(JUDGED_AT_ONCE)):
            first = start * JUDGED_AT_ONCE
            rows = torch.arange(first, min(first + JUDGED_AT_ONCE, size))
            self.answers(on_device(dict(batch.inputs), training_device()), rows, size)

    def logits(self, dataset: Dataset) -> Tensor:
        """Return the first output for all samples of a split, of shape (samples, ...), on the CPU.

        Everything is in memory at once: it is for a workload's own training that asks for it.
        """
        found = [torch.from_numpy(first_output(each)) for each, _ in answers(self.model, dataset)]
        self.release()
        return torch.cat(found)

    def release(self) -> None:
        """Free the card's memory that the teacher takes."""
        self.model.cpu()

    def _keep(self, outputs: Mapping[str, Tensor], rows: Tensor, count: int) -> None:
        per_sample = sum(each[0].numel() * 4 for each in outputs.values() if len(each) == len(rows))
        if per_sample * count > _KEPT_BYTES or any(len(e) != len(rows) for e in outputs.values()):
            return
        if self._known is None:
            self._known = torch.zeros(count, dtype=torch.bool)
            self._kept = {n: torch.empty(count, *e.shape[1:]) for n, e in outputs.items()}
        for name, each in outputs.items():
            if each.shape[1:] != self._kept[name].shape[1:]:  # lengths differ between batches
                self._known[:] = False
                return
            self._kept[name][rows] = each.cpu()
        self._known[rows] = True


class StoredTeacher(Teacher):
    """A teacher of which only the outputs are left.

    Args:
        logits: Its outputs on the train split, of shape (samples, ...).
    """

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    def answers(
        self, inputs: Mapping[str, Tensor], rows: Tensor | None = None, count: int = 0
    ) -> dict[str, Tensor]:
        """Return the stored outputs of these rows."""
        if rows is None:
            raise ValueError("stored outputs of a teacher need samples that do not change")
        return {"output": self._logits[rows].to(next(iter(inputs.values())).device)}

    def release(self) -> None:
        """Nothing is on the card."""
