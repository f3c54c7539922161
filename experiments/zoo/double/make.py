"""A model in float64, as scientific code exports it."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
r = np.random.default_rng(0)
m = (
    nn.Sequential(nn.Linear(20, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 3))
    .double()
    .eval()
)
torch.onnx.export(
    m,
    (torch.zeros(2, 20, dtype=torch.float64),),
    "model.onnx",
    dynamo=False,
    input_names=["x"],
    output_names=["y"],
    dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    opset_version=17,
)
np.savez("samples.npz", x=r.standard_normal((160, 20)))
