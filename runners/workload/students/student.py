"""Where the first weights of a model come from: noise, a checkpoint, or the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from paretune.spaces import WorkloadError

if TYPE_CHECKING:
    from torch import nn

Origin = Literal["fresh", "trained", "inherited"]


@dataclass(frozen=True)
class Student:
    """A constructor of a model that says where the model's first weights come from.

    Attributes:
        construct: Returns the model.
        origin: ``"fresh"`` as constructed, ``"trained"`` with good weights already, ``"inherited"``
            with those of the reference, as far as they fit.
        weights: File with the trained weights; ``None`` if ``construct`` fills them in.
    """

    construct: Callable[[], nn.Module]
    origin: Origin = "fresh"
    weights: Path | None = None

    def __call__(self) -> nn.Module:
        """Return the model, with its trained weights if a file has them."""
        model = self.construct()
        if self.weights is not None:
            load_weights(model, self.weights)
        return model


def pretrained(
    construct: Callable[[], nn.Module], weights: Path | str | None = None
) -> Callable[[], nn.Module]:
    """Return a constructor of a model that is trained already, for :meth:`Workload.models`.

    So a family of models, such as ResNet-20, 32, 44 and 56, takes part without any training. Set
    ``Recipe(refine_epochs=…)`` to distil the reference into them further.

    Example::

        def models(self):
            return {
                "reference": pretrained(resnet56, FOLDER / "resnet56.safetensors"),
                "resnet20": pretrained(resnet20, FOLDER / "resnet20.pt"),
                "mobilenet": pretrained(partial(timm.create_model, "mobilenetv3_small_100",
                                                pretrained=True)),
            }

    Args:
        construct: Returns the model, with its weights if ``weights`` is ``None``.
        weights: A checkpoint: ``.safetensors``, or a file of ``torch.save`` that holds a state
            dictionary, alone or under ``state_dict`` or ``model``. A relative path starts from the
            workload's folder.
    """
    return Student(construct, "trained", None if weights is None else Path(weights))


def inheriting(construct: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return a constructor of a student that starts from the reference's weights.

    Layers that the student has are taken over by name, of a shorter run of similar blocks every
    other one or so (Sanh et al., "DistilBERT", 2019, https://arxiv.org/abs/1910.01108); of wider
    layers the channels with the largest norms. The rest starts from noise. Then it is distilled.
    """
    return Student(construct, "inherited")


def origin_of(construct: Callable[[], nn.Module]) -> Origin:
    """Return where the first weights of a model come from."""
    return construct.origin if isinstance(construct, Student) else "fresh"


def located(construct: Callable[[], nn.Module], folder: Path) -> Callable[[], nn.Module]:
    """Return a constructor whose file of weights is looked for from a folder on."""
    if isinstance(construct, Student) and construct.weights is not None:
        return replace(construct, weights=folder / construct.weights)
    return construct


def weight_files(models: Iterable[Callable[[], nn.Module]]) -> list[Path]:
    """Return the files with trained weights of some models."""
    students = (each for each in models if isinstance(each, Student))
    return [each.weights for each in students if each.weights is not None]


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a model with a checkpoint's weights.

    Raises:
        WorkloadError: If the file cannot be read, or holds other weights than the model has.
    """
    import torch

    tensors: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            for name in ("state_dict", "model_state_dict", "model"):
                if isinstance(tensors, dict) and isinstance(tensors.get(name), dict):
                    tensors = tensors[name]
        model.load_state_dict(tensors)
    except (OSError, RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise WorkloadError(
            f"{path} holds no weights of {type(model).__name__}: {error}"
        ) from error
