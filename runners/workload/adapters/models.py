"""Models of Transformers, timm and torchvision, as constructors for ``Workload.models()``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.runners.workload.students.student import Student

if TYPE_CHECKING:
    from torch import nn


def from_transformers(
    source: Any, task: str = "AutoModelForSequenceClassification", **options: Any
) -> Callable[[], nn.Module]:
    """Return a constructor of a model of Hugging Face Transformers.

    Its inputs are those that the data names (``input_ids``, ``attention_mask``, …), and its outputs
    those of its ``ModelOutput``. Nothing is downloaded.

    Args:
        source: A folder that ``save_pretrained`` wrote, whose weights are the model's trained ones;
            or a configuration, for a model that is still to be trained.
        task: The class in ``transformers`` that makes the model, such as ``AutoModel`` for
            embeddings or ``AutoModelForQuestionAnswering``.
        options: Further arguments of ``from_pretrained`` or ``from_config``.
    """
    is_trained = isinstance(source, str | Path)

    def construct() -> nn.Module:
        import transformers

        maker = getattr(transformers, task)
        if is_trained:
            model = maker.from_pretrained(source, local_files_only=True, **options)
        elif hasattr(maker, "from_config"):
            model = maker.from_config(source, **options)
        else:
            model = maker(source, **options)
        # Outputs by name, and none of what only the next token needs.
        model.config.return_dict, model.config.use_cache = True, False
        found: nn.Module = model.float()
        return found

    return Student(construct, "trained" if is_trained else "fresh")


def from_timm(
    name: str, weights: Path | str | None = None, **options: Any
) -> Callable[[], nn.Module]:
    """Return a constructor of a model of timm.

    Args:
        name: The model's name.
        weights: A checkpoint (see :func:`paretune.pretrained`); without one it is to be trained.
        options: Further arguments of ``timm.create_model``, such as ``num_classes``.
    """

    def construct() -> nn.Module:
        import timm

        model: nn.Module = timm.create_model(name, **options)
        return model

    return _perhaps_trained(construct, weights)


def from_torchvision(
    name: str, weights: Path | str | None = None, **options: Any
) -> Callable[[], nn.Module]:
    """Return a constructor of a model of torchvision.

    Args:
        name: The model's name.
        weights: A checkpoint (see :func:`paretune.pretrained`); without one it is to be trained.
        options: Further arguments of ``torchvision.models.get_model``, such as ``num_classes``.
    """

    def construct() -> nn.Module:
        import torchvision

        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
        return model

    return _perhaps_trained(construct, weights)


def _perhaps_trained(
    construct: Callable[[], nn.Module], weights: Path | str | None
) -> Callable[[], nn.Module]:
    if weights is None:
        return Student(construct)
    return Student(construct, "trained", Path(weights))
