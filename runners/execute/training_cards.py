"""The cards that models are trained on: one build worker each, unless the study says otherwise."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

from paretune.runners import gpu


def training_cards() -> dict[str, str]:
    """Return the UUID of each card that torch can train on here, by device (``gpu:0``).

    Torch is not imported, and CUDA not started, because the process that asks will fork.
    """
    if not _torch_has_cuda():
        return {}
    return {device: card.uuid for device, card in gpu.cards().items()}


def _torch_has_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return version.is_file() and bool(runpy.run_path(str(version)).get("cuda"))
