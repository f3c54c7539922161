"""The irises' service with named parts, and axes that change how, how fast, or what they make."""

import time

import numpy as np

AXES = {
    "arithmetic": ["exact", "coarse"],
    "decoder": ["slow", "fast"],
    "naming": ["table", "capitals", "loop"],
    "preprocess_workers": [1, 2],
}
SPECIES = ("setosa", "versicolor", "virginica")


def decode(millimetres: np.ndarray, decoder: str, preprocess_workers: int) -> np.ndarray:
    """Wait as a slow decoder does, then return floats."""
    if decoder == "slow":
        time.sleep(0.004 / preprocess_workers)
    return millimetres.astype(np.float32)


def scale(millimetres: np.ndarray, arithmetic: str) -> np.ndarray:
    """Turn millimetres into centimetres; coarse arithmetic has steps of five."""
    centimetres = millimetres / np.float32(10)
    return np.floor(centimetres / 5) * 5 if arithmetic == "coarse" else centimetres


def classes(logits: np.ndarray) -> np.ndarray:
    """Return the likeliest class of each flower."""
    return logits.argmax(axis=1)


def name(found: np.ndarray, naming: str = "table") -> list[str]:
    """Name the species."""
    names = [SPECIES[index] for index in found]
    return [each.upper() for each in names] if naming == "capitals" else names


preprocess = [decode, scale]
postprocess = [classes, name]
