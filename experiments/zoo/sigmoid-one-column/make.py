"""A binary classifier whose output is one probability a sample, of shape (batch,); labels are 0 and 1."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
r = np.random.default_rng(0)
x = r.standard_normal((600, 16)).astype(np.float32)
y = (x[:, :3].sum(1) > 0).astype(np.int64)


class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.f = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(s, features):
        return s.f(features).squeeze(-1).sigmoid()


m = Net()
o = torch.optim.Adam(m.parameters(), 1e-2)
for _ in range(150):
    o.zero_grad()
    nn.functional.binary_cross_entropy(
        m(torch.tensor(x[:300])), torch.tensor(y[:300]).float()
    ).backward()
    o.step()
print(
    "right with a threshold of 0.5:", ((m(torch.tensor(x[300:])) > 0.5).numpy() == y[300:]).mean()
)
torch.onnx.export(
    m.eval(),
    (torch.zeros(2, 16),),
    "model.onnx",
    dynamo=False,
    input_names=["features"],
    output_names=["probability"],
    dynamic_axes={"features": {0: "batch"}, "probability": {0: "batch"}},
    opset_version=17,
)
np.savez("samples.npz", features=x[300:], y=y[300:])
