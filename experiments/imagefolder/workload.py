"""Any folder of images, one folder per class, and a residual network of CIFAR size.

Put pictures under ``images/CLASS/`` next to this file, or name another folder in the environment
variable PARETUNE_IMAGES. The network is that of He, Zhang, Ren and Sun, "Deep Residual Learning for
Image Recognition", 2016, section 4.2 (https://arxiv.org/abs/1512.03385): 6n + 2 layers.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from paretune import Data, Recipe, Split, Workload

SIZE = 32
FOLDER = Path(os.environ.get("PARETUNE_IMAGES", Path(__file__).with_name("images")))
KINDS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
FEWEST = 20


class Block(nn.Module):
    """Two convolutions with a shortcut around them.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        stride: Step of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height ÷ stride, ...)."""
        result: Tensor = self.activation(self.body(images) + self.around(images))
        return result


class ResNet(nn.Module):
    """Three stages of blocks, each half the size and twice the channels of the one before.

    Args:
        classes: Number of classes.
        blocks: Blocks per stage; 3 make the ResNet-20.
        width: Channels of the first stage.
    """

    def __init__(self, classes: int, blocks: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        inputs = width
        for stage in range(3):
            for place in range(blocks):
                stride = 2 if stage and not place else 1
                layers.append(Block(inputs, width * 2**stage, stride))
                inputs = width * 2**stage
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images of shape (batch, 3, 32, 32) to logits of shape (batch, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class ImageFolder(Workload):
    """A ResNet-20, and thinner and shorter ones."""

    def models(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Return the reference and its students, largest first."""
        classes = len(class_names())
        sizes = {"reference": (3, 16), "short": (1, 16), "thin": (3, 8), "small": (1, 8)}
        return {
            name: partial(ResNet, classes, blocks, width) for name, (blocks, width) in sizes.items()
        }

    def data(self) -> Data:
        """Read the pictures; per class 60 % train, 10 % calibrate, 15 % validate, 15 % test."""
        rng = np.random.default_rng(0)
        parts: list[list[tuple[Path, int]]] = [[], [], [], []]
        for label, name in enumerate(class_names()):
            files = pictures(FOLDER / name)
            if len(files) < FEWEST:
                raise ValueError(
                    f"{FOLDER / name} has {len(files)} pictures; a class needs {FEWEST}, for "
                    "training, calibration, validation and test"
                )
            order = rng.permutation(len(files))
            ends = (np.array([0.6, 0.7, 0.85]) * len(files)).astype(int)
            for part, rows in zip(parts, np.split(order, ends), strict=True):
                part += [(files[row], label) for row in rows]
        return Data(*(read(part) for part in parts))

    def depends_on(self) -> Sequence[Path]:
        """Return every picture."""
        return [file for name in class_names() for file in pictures(FOLDER / name)]

    def recipe(self) -> Recipe:
        """Return the default recipe with fewer epochs."""
        return Recipe(reference_epochs=15, distill_epochs=15, fine_tune_epochs=8)


def class_names() -> list[str]:
    """Return the names of the folders below the folder of images, sorted.

    Raises:
        FileNotFoundError: If there are fewer than two.
    """
    found = sorted(p.name for p in FOLDER.iterdir() if p.is_dir()) if FOLDER.is_dir() else []
    if len(found) < 2:
        raise FileNotFoundError(
            f"{FOLDER} must hold one folder of pictures per class, for at least two classes; it "
            "has "
            f"{len(found)}. Put them there, or name another folder in PARETUNE_IMAGES"
        )
    return found


def pictures(folder: Path) -> list[Path]:
    """Return a folder's pictures, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in KINDS)


def read(files: Sequence[tuple[Path, int]]) -> Split:
    """Return pictures in the network's size, channels first, values about within ±2."""
    images = [_scaled(file) for file, _ in files]
    return Split(np.stack(images), np.array([label for _, label in files]))


def _scaled(file: Path) -> NDArray[np.float32]:
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB").resize((SIZE, SIZE)), np.float32)
    scaled: NDArray[np.float32] = (pixels.transpose(2, 0, 1) / 255 - 0.5) * 4
    return scaled
