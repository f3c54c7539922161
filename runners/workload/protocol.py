"""The workload: the user's side of a study, and the only code they have to write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from paretune.runners.workload.data import Data
from paretune.runners.workload.metrics.metric import QualityMetric
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.runners.workload.outputs import named_outputs
from paretune.runners.workload.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from paretune.runners.workload.learning.teacher import Teacher


class Workload(ABC):
    """The user's model and data. Subclass it and write :meth:`models` and :meth:`data`.

    Everything else has a default: top-1 accuracy, distillation with :class:`Recipe`, a reference
    trained with the same recipe (override :meth:`train_reference` to load a checkpoint instead).

    Attributes:
        quality_metric: Name under which :meth:`quality` is recorded; higher is better.
        pipeline: Python file (relative to this one's folder) with the code around the model in a
            service: ``preprocess(requests)`` returns the model's input for a batch of requests,
            ``postprocess(outputs)`` turns its output into answers; either may be missing. Both are
            timed, separately and together with inference. It is imported by the process that is
            timed, so it should import no more than a service would. Needs :meth:`requests`.
    """

    quality_metric: str = "accuracy"
    pipeline: str | None = None

    @abstractmethod
    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return constructors of models by name.

        ``"reference"`` is the model to compress; every other entry is a student that is distilled
        from it (:func:`paretune.scaled` derives some). A model that is trained already stands in
        :func:`paretune.pretrained`, a student that starts from the reference's weights in
        :func:`paretune.inheriting`. All take and return tensors of the same shapes, batch axis
        first; what they return may be a tensor, a tuple, a mapping or a ``ModelOutput``.
        """

    @abstractmethod
    def data(self) -> Data:
        """Return the train, calibration, validation and test splits."""

    def model_file(self) -> Path | None:
        """Return the reference's ONNX file, if it has no PyTorch model.

        Nothing is trained, distilled or pruned then (see :class:`paretune.OnnxWorkload`).
        """
        return None

    def layout(self) -> Layout:
        """Return where the samples are in the inputs and outputs of the model's file.

        By default the first axis of all is the batch.
        """
        return Layout()

    def remarks(self) -> Sequence[str]:
        """Return what a person should know before the search, one line each."""
        return ()

    def recipe(self) -> Recipe:
        """Return how models are trained."""
        return Recipe()

    def train_reference(self, model: nn.Module, data: Data) -> None:
        """Set the reference's trained weights, in place.

        It is not called for a reference in :func:`paretune.pretrained`. Override it to load weights
        in another way, and name their file in :meth:`depends_on`.
        """
        recipe = self.recipe()
        self.train(
            model,
            data,
            epochs=recipe.reference_epochs,
            peak_learning_rate=recipe.learning_rate,
            seed=recipe.seed,
        )

    def train(
        self,
        model: nn.Module,
        data: Data,
        *,
        epochs: int,
        peak_learning_rate: float,
        seed: int,
        teacher: Teacher | None = None,
        teacher_logits: Tensor | None = None,
    ) -> Sequence[float]:
        """Train a model in place: all trainings of a study use this method.

        The default is AdamW with a one-cycle schedule and early stopping, according to
        :meth:`recipe`, :meth:`loss`, :meth:`augment` and :meth:`quality`. Override it to use your
        own training, for example the ``Trainer`` of Lightning or Hugging Face, or ``accelerate``.
        Train the model as it is: its layers may have fewer channels than its class gives them, and
        may be trained already. Leave the weights in it, on any device.

        Leave out ``teacher`` or ``teacher_logits``, or both, if you do not use them: what the
        method does not take is not computed.

        Args:
            model: The model to train.
            data: Learn from the train split only; the validation split may decide when to stop.
            epochs: Passes over it. A training may come in two parts, with one call each.
            peak_learning_rate: The recipe's, or a fraction of it for a trained model.
            seed: Seed of the shuffling.
            teacher: The reference, if the model shall learn from it: ``teacher.answers(inputs)``
                returns its outputs by name for tensors by name.
            teacher_logits: Its first output on the whole train split as it is stored, of shape
                (samples, ...), for a method that takes this and no ``teacher``.

        Returns:
            The mean loss per epoch, for the training curves; empty if you have none.
        """
        from paretune.runners.workload.learning.teacher import StoredTeacher
        from paretune.runners.workload.learning.training import judge_of, train

        if teacher_logits is not None:
            teacher = StoredTeacher(teacher_logits)
        augments = type(self).augment is not Workload.augment
        return train(
            model,
            data,
            self.loss,
            judge_of(self),
            epochs=epochs,
            recipe=self.recipe(),
            seed=seed,
            peak_learning_rate=peak_learning_rate,
            teacher=teacher,
            augment=self.augment if augments else None,
        )

    def augment(
        self, inputs: dict[str, Tensor], targets: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return another view of a training batch, such as mirrored pictures; default: the same.

        The teacher sees the same view as the model that learns.

        Args:
            inputs: A tensor per input, on the device that trains, by the names of the data's inputs
                (``input``, ``input_1``, … where they have none).
            targets: The batch's targets.
        """
        return inputs, targets

    def loss(self, outputs: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        """Return the training loss of one batch, a scalar tensor.

        Args:
            outputs: Logits of shape (batch, classes); of a model with several outputs, a mapping of
                them by name.
            targets: Classes of shape (batch,), or whatever the data gives as targets.
            teacher: The reference's outputs in the same form, or ``None`` without a teacher.
        """
        from paretune.runners.workload.learning.losses import distillation_loss

        return distillation_loss(outputs, targets, teacher, self.recipe())

    def quality(self, outputs: Any, targets: Any) -> float:
        """Return the quality of a model's outputs, higher is better; top-1 accuracy by default.

        Write :meth:`metrics` instead for data larger than memory, or for several metrics.

        Args:
            outputs: Outputs of the exported model in its runtime, of shape (samples, ...); a
                mapping of them by name if the model has several.
            targets: The split's targets.
        """
        from paretune.runners.workload.metrics.classes import Accuracy

        metric = Accuracy()
        metric.update(named_outputs(outputs), targets)
        return metric.compute()

    def metrics(self) -> Sequence[QualityMetric]:
        """Return the metrics that judge a model, instead of :meth:`quality`.

        They are given one batch after the other (see :class:`paretune.QualityMetric`). All are
        recorded. The first is the objective, unless ``quality_metric`` names another.
        """
        return ()

    def dynamic_axes(self) -> Mapping[str, Mapping[int, str]]:
        """Return axes of inputs, besides the batch, whose size may differ between calls.

        For example ``{"input_ids": {1: "length"}, "attention_mask": {1: "length"}}``: names of axes
        by number, by the input's name (``input``, ``input_1``, … for inputs without one).
        """
        return {}

    def keep_layers(self, model: nn.Module) -> Sequence[nn.Module]:
        """Return the layers, besides the output layer, whose outputs pruning must not change."""
        return ()

    def keep_fp32(self) -> Sequence[str]:
        """Return names of layers that no scheme quantizes, in ONNX and OpenVINO files.

        They are names of nodes in the exported file; ``*`` and ``?`` stand for any characters, as
        in ``["*/head/*"]``. A name that fits no layer is an error of the build, which lists some.
        In OpenVINO's int8 files these layers compute in bfloat16 where the processor can.
        """
        return ()

    def attention_heads(self, model: nn.Module) -> Mapping[nn.Module, int]:
        """Return the number of heads per attention projection (query, key, value), if any.

        Pruning then removes whole heads. ``forward`` must take the number of heads from the
        projections' width, which pruning changes, and join them by
        ``torch.nn.functional.scaled_dot_product_attention``, which ties them to each other. The
        default knows the encoders of Hugging Face Transformers, which do so.
        """
        from paretune.runners.workload.adapters.attention import heads_of_transformers

        return heads_of_transformers(model)

    def requests(self, split: str) -> NDArray[Any] | Sequence[bytes]:
        """Return what a service would receive for each sample of a split, for the pipeline.

        Args:
            split: ``"validation"`` or ``"test"``.

        Returns:
            An array whose first axis is the sample (numbers or text), or a list of ``bytes``, such
            as encoded pictures. ``preprocess`` must turn them into the split's inputs.
        """
        raise NotImplementedError

    def depends_on(self) -> Sequence[Path]:
        """Return other files that models or data depend on, such as a checkpoint.

        Relative paths start from the workload's folder. Its own file, and the modules next to it
        that it imports, are included automatically.
        """
        return ()
