"""The cards that models are trained on: one build worker each, unless the study says otherwise."""

from __future__ import annotations

import importlib.util
import os
import runpy
from dataclasses import dataclass
from pathlib import Path

from paretune.runners import gpu


@dataclass(frozen=True)
class TrainingCard:
    """A card that build workers can train on.

    Attributes:
        device: Its name for measurements, such as ``gpu:0``.
        visible_as: What ``CUDA_VISIBLE_DEVICES`` calls it, for a process that shall see no other.
    """

    device: str
    visible_as: str


def training_cards() -> tuple[TrainingCard, ...]:
    """Return the cards that torch can train on here, in CUDA's order.

    Torch is not imported, and CUDA not started, because the process that asks will fork.
    """
    if not _torch_has_cuda():
        return ()
    devices = list(gpu.cards())
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    # CUDA numbers the cards of that list anew, so that gpu:0 is its first entry.
    names = [str(n) for n in range(len(devices))] if listed is None else listed.split(",")
    pairs = zip(devices, (name.strip() for name in names), strict=False)
    return tuple(TrainingCard(device, name) for device, name in pairs if name and name != "-1")


def _torch_has_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    return version.is_file() and bool(runpy.run_path(str(version)).get("cuda"))
