"""Tones: which of twelve melodies is in a second of noise? Generated, nothing to download.

A melody is three notes out of four in a fixed order, with random pitch, onset, tempo and loudness,
under noise. It represents keyword spotting on a small device: convolutions over a waveform, and
training that takes far longer than measuring.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune import Data, Recipe, Split, Workload

MELODIES = list(permutations((4.0, 6.0, 9.0, 13.0), 3))[::2]
SAMPLES = 256


class ToneNet(nn.Module):
    """Strided convolutions over the waveform, an average over time, a classifier.

    Args:
        width: Channels of the first convolution; the third and fourth have twice as many.
        blocks: Further convolutions at full width.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        layers = [*_convolution(1, width, 2), *_convolution(width, width, 2)]
        layers += _convolution(width, 2 * width, 2)
        for _ in range(blocks):
            layers += _convolution(2 * width, 2 * width, 1)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(4), nn.Flatten())
        self.classifier = nn.Linear(8 * width, len(MELODIES))

    def forward(self, waves: Tensor) -> Tensor:
        """Map waveforms of shape (batch, 1, 256) to logits of shape (batch, 12)."""
        logits: Tensor = self.classifier(self.features(waves))
        return logits


def _convolution(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv1d(inputs, outputs, 9, stride, padding=4, bias=False)
    return [convolution, nn.BatchNorm1d(outputs), nn.ReLU()]


def waves(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return waveforms of shape (count, 1, 256) and the numbers of their melodies."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(len(MELODIES), size=count)
    notes = np.array(MELODIES)[targets] * rng.uniform(0.9, 1.1, (count, 1))
    time = np.linspace(0, 1, SAMPLES) * rng.uniform(0.8, 1.2, (count, 1))
    time = time - rng.uniform(0, 0.2, (count, 1))
    turn = np.clip((time * 3).astype(int), 0, 2)
    frequency = np.take_along_axis(notes, turn, axis=1)
    signal = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi, (count, 1)))
    signal = signal * rng.uniform(0.5, 1.5, (count, 1)) + rng.normal(0, 0.7, signal.shape)
    return signal.astype(np.float32)[:, None], targets


class Tones(Workload):
    """A deep reference, and students that are narrower or shallower."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        return {
            "reference": partial(ToneNet, width=32, blocks=3),
            "shallow": partial(ToneNet, width=32, blocks=1),
            "narrow": partial(ToneNet, width=16, blocks=3),
            "small": partial(ToneNet, width=16, blocks=1),
            "tiny": partial(ToneNet, width=8, blocks=0),
        }

    def data(self) -> Data:
        """Make 24,000 waveforms for training and at most 1,000 for each other split."""
        splits = [Split(*waves(n, seed)) for seed, n in enumerate((24_000, 300, 1000, 1000))]
        return Data(*splits)

    def recipe(self) -> Recipe:
        """Return the default recipe, with widths rounded to 4."""
        return Recipe(reference_epochs=16, distill_epochs=32, fine_tune_epochs=16, width_multiple=4)


class FewTones(Tones):
    """Half of the waveforms and fewer epochs: a whole space of it can be measured in an hour."""

    def data(self) -> Data:
        """Make 12,000 waveforms for training and at most 1,000 for each other split."""
        splits = [Split(*waves(n, seed)) for seed, n in enumerate((12_000, 300, 1000, 1000))]
        return Data(*splits)

    def recipe(self) -> Recipe:
        """Return a shorter recipe, with widths rounded to 4."""
        return Recipe(reference_epochs=16, distill_epochs=24, fine_tune_epochs=12, width_multiple=4)
