import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


def unit(a: int, b: int, k: int = 3, s: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(a, b, k, s, k // 2, bias=False), nn.BatchNorm2d(b), nn.SiLU())


class Split(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.enter, self.left, self.right, self.leave = (
            unit(c, c, 1),
            unit(c // 2, c // 2),
            unit(c // 2, c // 2),
            unit(2 * c, c, 1),
        )

    def forward(self, x):
        x = self.enter(x)
        a, b = x.chunk(2, 1)
        c = self.left(b)
        return self.leave(torch.cat([a, b, c, self.right(c)], 1))


net = nn.Sequential(
    unit(3, 16, s=2),
    unit(16, 32, s=2),
    Split(32),
    unit(32, 64, s=2),
    Split(64),
    unit(64, 128, s=2),
    Split(128),
    nn.Conv2d(128, 22, 1),
    nn.Flatten(2),
).eval()
x = torch.rand(64, 3, 320, 320)
x = nn.functional.avg_pool2d(x, 5, 1, 2)
torch.onnx.export(
    net,
    (x[:2],),
    "model.onnx",
    dynamo=True,
    input_names=["images"],
    output_names=["boxes"],
    dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},),
    external_data=False,
)
np.savez("samples.npz", images=x.numpy())
