"""Models of well-known kinds, built without a download: `python models.py FOLDER`.

Writes `detector`, `bert`, `vit` and `mobilenet`: an ONNX file and samples for each. The last three
are built by transformers from a configuration, in the sizes of MiniLM-L6, ViT-Tiny and MobileNetV2.
Their weights are drawn, not trained: times are those of the real ones, and what rounding costs is
seen, but not on weights with the outliers that training leaves.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

SAMPLES = 120


def main(folder: Path) -> None:
    """Write the four models and their samples."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model, inputs = make()
        write(folder / name, model, inputs)
        print(f"{name}: {sum(each.numel() for each in model.parameters()) / 1e6:.1f} M weights")


def detector() -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a detector of the kind of YOLOv8-nano, for 320 × 320, and pictures."""
    inputs = {"images": pictures(320)}
    return settled(Detector(), inputs), inputs


def bert() -> tuple[nn.Module, dict[str, Tensor]]:
    """Return an encoder of MiniLM's size, and sentences of 128 tokens."""
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    lengths = torch.randint(20, 129, (SAMPLES, 1))
    mask = (torch.arange(128) < lengths).long()
    tokens = torch.randint(1000, config.vocab_size, (SAMPLES, 128)) * mask
    return BertModel(config), {"input_ids": tokens, "attention_mask": mask}


def vit() -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a vision transformer of ViT-Tiny's size, and pictures."""
    config = ViTConfig(
        hidden_size=192, num_attention_heads=3, intermediate_size=768, num_labels=1000
    )
    return ViTForImageClassification(config), {"pixel_values": pictures(224)}


def mobilenet() -> tuple[nn.Module, dict[str, Tensor]]:
    """Return MobileNetV2 for 224 × 224, and pictures."""
    model = MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=1000))
    inputs = {"pixel_values": pictures(224)}
    return settled(model, inputs), inputs


MODELS = {"detector": detector, "bert": bert, "vit": vit, "mobilenet": mobilenet}


def pictures(size: int) -> Tensor:
    """Return smooth coloured pictures, each of its own contrast; shape (samples, 3, size, size)."""
    coarse = torch.randn(SAMPLES, 3, 12, 12) * torch.rand(SAMPLES, 1, 1, 1).add(0.5)
    return nn.functional.interpolate(coarse, size=size, mode="bicubic")


def settled(model: nn.Module, inputs: dict[str, Tensor]) -> nn.Module:
    """Return a model whose normalization has seen its inputs, as after training."""
    for each in model.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.momentum = None  # the mean of all batches
    with torch.no_grad():
        for start in range(0, 64, 16):
            model.train()(**{name: each[start : start + 16] for name, each in inputs.items()})
    return model.eval()


def write(path: Path, model: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Export a model with a dynamic batch, and save its samples."""
    batch = torch.export.Dim("batch", min=1, max=1024)
    torch.onnx.export(
        Plain(model.eval(), list(inputs)),
        tuple(each[:2] for each in inputs.values()),
        f"{path}.onnx",
        input_names=list(inputs),
        output_names=["output"],
        dynamic_shapes=(tuple({0: batch} for _ in inputs),),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    np.savez(f"{path}.npz", **{name: each.numpy() for name, each in inputs.items()})


class Plain(nn.Module):
    """A model with one output, a tensor."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the first output."""
        found = self.model(**dict(zip(self.names, inputs, strict=True)))
        return found if isinstance(found, Tensor) else found[0]


def unit(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution, normalization and SiLU."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


class Block(nn.Module):
    """Half of the channels passes through residual units; every part is concatenated."""

    def __init__(self, inputs: int, width: int, units: int, *, adds: bool = True) -> None:
        super().__init__()
        half, self.adds = width // 2, adds
        self.enter = unit(inputs, width, 1)
        self.units = nn.ModuleList(
            nn.Sequential(unit(half, half), unit(half, half)) for _ in range(units)
        )
        self.leave = unit((2 + units) * half, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same size."""
        parts = [*self.enter(x).chunk(2, 1)]
        for each in self.units:
            parts.append(parts[-1] + each(parts[-1]) if self.adds else each(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Pool(nn.Module):
    """Maxima over growing windows, concatenated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter, self.leave = unit(width, width // 2, 1), unit(2 * width, width, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same size."""
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Detector(nn.Module):
    """A backbone, a pyramid up and down, and heads for boxes and classes at three sizes."""

    def __init__(self, classes: int = 20) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(3, 16, stride=2), unit(16, 32, stride=2), Block(32, 32, 1))
        self.small = nn.Sequential(unit(32, 64, stride=2), Block(64, 64, 2))
        self.middle = nn.Sequential(unit(64, 128, stride=2), Block(128, 128, 2))
        self.large = nn.Sequential(unit(128, 256, stride=2), Block(256, 256, 1), Pool(256))
        self.up = nn.Upsample(scale_factor=2.0)
        self.up_middle = Block(256 + 128, 128, 1, adds=False)
        self.up_small = Block(128 + 64, 64, 1, adds=False)
        self.down_small = unit(64, 64, stride=2)
        self.out_middle = Block(64 + 128, 128, 1, adds=False)
        self.down_middle = unit(128, 128, stride=2)
        self.out_large = Block(128 + 256, 256, 1, adds=False)
        self.boxes = nn.ModuleList(self._head(width, 64) for width in (64, 128, 256))
        self.classes = nn.ModuleList(self._head(width, classes) for width in (64, 128, 256))

        # As detectors are initialized: boxes of one stride, and a class at few of the places.
        for boxes, head in zip(self.boxes, self.classes, strict=True):
            nn.init.constant_(boxes[-1].bias, 1.0)
            nn.init.constant_(head[-1].bias, -9.0)

    def _head(self, width: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(unit(width, 64), unit(64, 64), nn.Conv2d(64, outputs, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return box distances and class logits of every place: (samples, 84, places)."""
        small = self.small(self.stem(images))
        middle = self.middle(small)
        large = self.large(middle)
        wide = self.up_middle(torch.cat([self.up(large), middle], 1))
        first = self.up_small(torch.cat([self.up(wide), small], 1))
        second = self.out_middle(torch.cat([self.down_small(first), wide], 1))
        third = self.out_large(torch.cat([self.down_middle(second), large], 1))
        found = [
            torch.cat([boxes(each), classes(each)], 1).flatten(2)
            for each, boxes, classes in zip(
                (first, second, third), self.boxes, self.classes, strict=True
            )
        ]
        return torch.cat(found, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("models"))
    main(parser.parse_args().folder)
