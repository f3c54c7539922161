"""Two networks of ours on made-up data, for machines with a card.

The data come from a seed, so a machine without a network has all it needs. A residual network and a
transformer: large enough that a card is many times faster at batch 64, and small enough that a
processor comes near it, or wins with a student, at batch 1.

- :class:`Pictures`: in which of twenty directions does a noisy grating run, with another one across
  it? A residual network (He et al., "Deep Residual Learning for Image Recognition", 2016,
  https://arxiv.org/abs/1512.03385), 0.2 GFLOP per picture.
- :class:`Sentences`: which of eight topics has the most words in a sentence of 32 words? An
  encoder-only transformer, normalized before each part (Xiong et al., "On Layer Normalization in
  the Transformer Architecture", 2020, https://arxiv.org/abs/2002.04745), 0.1 GFLOP per sentence.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from paretune import Data, Recipe, Split, Workload

SIZES = {"train": 2048, "calibration": 256, "validation": 768, "test": 768}
SIDE, DIRECTIONS = 32, 20
LENGTH, WORDS, TOPICS, TOPIC_WORDS = 32, 512, 8, 12
HEAD_WIDTH = 32


class ResidualNet(nn.Module):
    """A stem, three stages of two residual blocks, an average over the picture, a classifier.

    Args:
        width: Channels of the first stage; each later stage has twice as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(
            ResidualBlock(width, width, 1),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 2 * width, 1),
            ResidualBlock(2 * width, 4 * width, 2),
            ResidualBlock(4 * width, 4 * width, 1),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(4 * width, DIRECTIONS)

    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures of shape (batch, 3, 32, 32) to logits of shape (batch, 20)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(self.stem(pictures))).flatten(1))
        return logits


class ResidualBlock(nn.Module):
    """Two convolutions, added to their input, which is projected if its shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, values: Tensor) -> Tensor:
        """Map values of shape (batch, inputs, h, w) to (batch, outputs, h ÷ stride, w ÷ stride)."""
        return functional.relu(self.path(values) + self.shortcut(values))


class Encoder(nn.Module):
    """Words and their places, blocks of attention and perceptron, a mean, a classifier.

    Args:
        width: Values per word between the blocks; an attention head has 32 of them.
        depth: Number of blocks.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.blocks = nn.ModuleList(EncoderBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, TOPICS)

    def forward(self, words: Tensor) -> Tensor:
        """Map words of shape (batch, 32) to logits of shape (batch, 8)."""
        values = self.words(words) + self.places
        for block in self.blocks:
            values = block(values)
        logits: Tensor = self.classifier(self.norm(values).mean(dim=1))
        return logits


class EncoderBlock(nn.Module):
    """Attention, then a perceptron; each adds to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Map values of shape (batch, length, width) to values of the same shape."""
        normal = self.before_attention(values)
        heads = (
            part(normal).unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(*heads)
        values = values + self.attended(mixed.transpose(1, 2).flatten(2))
        added: Tensor = self.perceptron(values)
        return values + added


class Pictures(Workload):
    """A residual reference and two narrower students."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        widths = {"reference": 64, "medium": 32, "small": 16}
        return {name: partial(ResidualNet, width) for name, width in widths.items()}

    def data(self) -> Data:
        """Make gratings: 2,048 to train, 256 to calibrate, 768 each for validation and test."""
        return _splits(gratings)

    def recipe(self) -> Recipe:
        """Return few epochs of large batches: the study has minutes."""
        return _recipe()


class Sentences(Workload):
    """A transformer of four blocks, and students that are shallower, narrower or both."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        shapes = {"reference": (192, 4), "shallow": (192, 2), "small": (96, 1)}
        return {name: partial(Encoder, *shape) for name, shape in shapes.items()}

    def data(self) -> Data:
        """Make sentences: 2,048 to train, 256 to calibrate, 768 each for validation and test."""
        return _splits(sentences)

    def recipe(self) -> Recipe:
        """Return few epochs of large batches: the study has minutes."""
        return _recipe(learning_rate=1e-3)


def gratings(count: int, seed: int) -> Split:
    """Return pictures of shape (count, 3, 32, 32) and the direction of each one's grating."""
    random = np.random.default_rng(seed)
    direction = random.integers(0, DIRECTIONS, count)
    pictures = _waves(direction * np.pi / DIRECTIONS, random)
    pictures += 0.7 * _waves(random.uniform(0, np.pi, count), random)
    pictures += 1.2 * random.standard_normal(pictures.shape, dtype=np.float32)
    return Split(pictures, direction)


def _waves(angles: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float32]:
    """Return one colored sine wave per angle, of shape (angles, 3, 32, 32)."""
    count = len(angles)
    down, right = np.mgrid[:SIDE, :SIDE] / SIDE
    angle, cycles, phase = (
        values[:, None, None]
        for values in (angles, random.uniform(2.5, 4.5, count), random.uniform(0, 2 * np.pi, count))
    )
    along = np.cos(angle) * right + np.sin(angle) * down
    waves = np.sin(2 * np.pi * cycles * along + phase)
    colors = random.uniform(0.4, 1.0, (count, 3, 1, 1))
    return (waves[:, None] * colors).astype(np.float32)


def sentences(count: int, seed: int) -> Split:
    """Return words of shape (count, 32), and the topic with the most words in each sentence.

    A sentence has seven words of its topic and five of another; most words belong to no topic.
    """
    random = np.random.default_rng(seed)
    topic = random.integers(0, TOPICS, count)
    other = (topic + random.integers(1, TOPICS, count)) % TOPICS
    words = random.integers(TOPICS * TOPIC_WORDS, WORDS, (count, LENGTH))
    for row in range(count):
        about = np.repeat([topic[row], other[row]], [7, 5])
        places = random.choice(LENGTH, len(about), replace=False)
        words[row, places] = about * TOPIC_WORDS + random.integers(0, TOPIC_WORDS, len(about))
    return Split(words, topic)


def _splits(make: Callable[[int, int], Split]) -> Data:
    return Data(**{name: make(count, seed) for seed, (name, count) in enumerate(SIZES.items())})


def _recipe(learning_rate: float = 3e-3) -> Recipe:
    return Recipe(
        reference_epochs=6,
        distill_epochs=6,
        fine_tune_epochs=3,
        batch_size=128,
        learning_rate=learning_rate,
    )
