"""A single shot detector as torchvision builds it: with its post-processing, and without it."""

import numpy as np
import torch
from torch import Tensor, nn

torch.manual_seed(0)
CLASSES, ANCHORS, KEPT = 5, 6, 50


def block(inputs: int, outputs: int) -> nn.Sequential:
    depthwise = nn.Conv2d(inputs, inputs, 3, 2, 1, groups=inputs, bias=False)
    pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
    norms = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
    return nn.Sequential(depthwise, norms[0], nn.ReLU6(), pointwise, norms[1], nn.ReLU6())


class Heads(nn.Module):
    """Boxes of shape (batch, anchors, 4), and scores of shape (batch, anchors, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6())
        self.stages = nn.ModuleList([block(16, 32), block(32, 64), block(64, 96), block(96, 128)])
        self.boxes = nn.ModuleList([nn.Conv2d(w, ANCHORS * 4, 3, 1, 1) for w in (96, 128)])
        self.scores = nn.ModuleList([nn.Conv2d(w, ANCHORS * CLASSES, 3, 1, 1) for w in (96, 128)])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found, x = [], self.stem(images)
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        both = [
            torch.cat(
                [
                    head(level).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, size))
                    for head, level in zip(heads, found[-2:], strict=True)
                ],
                1,
            )
            for heads, size in ((self.boxes, 4), (self.scores, CLASSES))
        ]
        return both[0], both[1]


class Whole(nn.Module):
    """One picture of shape (3, height, width) gives the boxes above the mean score, however many."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, logits = self.heads(image.unsqueeze(0))
        scores, labels = logits[0].softmax(-1)[:, 1:].max(-1)
        best, rows = scores.topk(KEPT)
        is_kept = best > best.mean()
        return boxes[0, rows][is_kept].exp(), best[is_kept], labels[rows][is_kept]


heads = Heads().eval()
images = nn.functional.avg_pool2d(torch.rand(64, 3, 160, 160), 9, 1, 4) * 8 - 4
torch.onnx.export(
    heads,
    (images[:2],),
    "heads.onnx",
    dynamo=False,
    input_names=["images"],
    output_names=["boxes", "scores"],
    dynamic_axes={name: {0: "batch"} for name in ("images", "boxes", "scores")},
)
torch.onnx.export(
    Whole(heads).eval(),
    (images[0],),
    "whole.onnx",
    dynamo=False,
    input_names=["image"],
    output_names=["boxes", "scores", "labels"],
)
np.savez("heads.npz", images=images.numpy())
np.savez("whole.npz", image=images.numpy())
