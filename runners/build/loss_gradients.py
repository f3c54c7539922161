"""How much the training loss feels each weight: gradients over samples of the train split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from paretune.runners.workload.learning.forward import device_of, forward, on_device
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.outputs import only_or_all
from paretune.runners.workload.protocol import Workload

_SAMPLES = 512
_BATCH_SIZE = 16
"""Few samples per step, so that their gradients do not cancel out. Both chosen by judgement."""


def loss_gradients(loaded: LoadedWorkload, model: nn.Module) -> dict[str, Tensor]:
    """Return the root mean square of each parameter's gradient over small batches, by name.

    The mean itself is near zero in a trained model. Samples are drawn by the recipe's seed.

    Args:
        loaded: The workload, whose ``loss`` is asked without a teacher.
        model: The model, in eval mode, so that batch normalization and dropout change nothing.

    Returns:
        Tensors of the parameters' shapes; empty if the workload trains by other means than
        ``loss``, or if a gradient is not finite.

    Raises:
        Exception: What the workload's ``loss`` raises.
    """
    workload, train = loaded.workload, loaded.data.train
    kind = type(workload)
    if kind.train is not Workload.train and kind.loss is Workload.loss:
        return {}
    device = device_of(model)
    rows = np.random.default_rng(workload.recipe().seed).permutation(len(train))[:_SAMPLES]
    parameters = dict(model.requires_grad_(True).named_parameters())
    squares = {name: torch.zeros_like(each) for name, each in parameters.items()}
    steps = 0
    with torch.enable_grad():
        for batch in train.batches(_BATCH_SIZE, rows):
            outputs = forward(model, on_device(dict(batch.inputs), device))
            loss = workload.loss(only_or_all(outputs), on_device(batch.targets, device), None)
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    squares[name] += gradient.square()
            steps += 1
    gradients = {name: (each / max(steps, 1)).sqrt() for name, each in squares.items()}
    is_finite = all(bool(each.isfinite().all()) for each in gradients.values())
    return gradients if is_finite else {}
