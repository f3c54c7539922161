"""Training by Lightning, for models that are Lightning modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paretune.runners.workload.data import Data
from paretune.runners.workload.learning.loader import torch_loader
from paretune.runners.workload.learning.progress import Epoch, report_epoch

if TYPE_CHECKING:
    from torch import nn


def fit_with_lightning(
    model: nn.Module, data: Data, *, epochs: int, seed: int, batch_size: int = 64, **options: Any
) -> list[float]:
    """Train a Lightning module by its own steps; call it in ``Workload.train``.

    ``training_step`` gets pairs of inputs and targets (see :func:`paretune.torch_loader`). A pruned
    model is the same module with fewer channels.

    Args:
        model: The module.
        data: Its train split is learned from; ``validation_step`` sees the validation split.
        epochs: Passes over the train split.
        seed: Seed of the order and of dropout.
        batch_size: Samples per batch.
        options: Further arguments of Lightning's ``Trainer``.

    Returns:
        The mean loss per epoch, if ``training_step`` returns or logs a ``loss``.
    """
    import lightning

    losses: list[float] = []

    class Told(lightning.Callback):  # type: ignore[misc]
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            self.total, self.steps = 0.0, 0

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, place: int
        ) -> None:
            if outputs is not None and "loss" in outputs:
                self.total += float(outputs["loss"])
                self.steps += 1

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if self.steps:
                losses.append(self.total / self.steps)
                report_epoch(Epoch(len(losses), epochs, losses[-1]))

    lightning.seed_everything(seed, verbose=False)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Told(), *options.pop("callbacks", [])],
        devices=1,
        **options,
    )
    own_step = getattr(type(model), "validation_step", None)
    has_validation = own_step is not lightning.LightningModule.validation_step
    trainer.fit(
        model,
        torch_loader(data.train, batch_size, shuffle=True, seed=seed),
        torch_loader(data.validation, batch_size) if has_validation else None,
    )
    model.cpu().eval()
    return losses
