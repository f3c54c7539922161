"""SSDLite of torchvision: with its post-processing (boxes of any number), and without it."""

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import ssdlite320_mobilenet_v3_large

torch.manual_seed(0)
detector = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5).eval()


class Heads(nn.Module):
    """The backbone and the heads, as an exporter for a device with its own post-processing."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.head(list(self.backbone(images).values()))
        return found["bbox_regression"], found["cls_logits"]


images = torch.rand(48, 3, 320, 320)
images = nn.functional.avg_pool2d(images, 9, 1, 4) * 4 - 2
axes = {name: {0: "batch"} for name in ("images", "boxes", "scores")}
torch.onnx.export(
    Heads().eval(),
    (images[:2],),
    "heads.onnx",
    dynamo=False,
    opset_version=17,
    input_names=["images"],
    output_names=["boxes", "scores"],
    dynamic_axes=axes,
)
torch.onnx.export(
    detector,
    ([images[0]],),
    "whole.onnx",
    dynamo=False,
    opset_version=17,
    input_names=["image"],
    output_names=["boxes", "scores", "labels"],
)
np.savez("heads.npz", images=images.numpy())
np.savez("whole.npz", image=images.numpy())
