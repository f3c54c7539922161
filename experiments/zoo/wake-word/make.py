"""openWakeWord's classifier, rebuilt: 16 embeddings of 96 numbers, two blocks, one probability.

The wheel of openwakeword has no weights; this is the shape of its `Model` (layers of 128, LayerNorm,
ReLU, sigmoid), trained here for a moment on embeddings of two kinds.
"""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
rng = np.random.default_rng(0)
x = rng.standard_normal((600, 16, 96)).astype(np.float32)
y = rng.integers(0, 2, 600)
word = rng.standard_normal((8, 96)).astype(np.float32)
for row, is_word in zip(x, y, strict=True):
    place = rng.integers(0, 9)
    row[place : place + 8] += 0.9 * is_word * word


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(128, 128), nn.LayerNorm(128), nn.ReLU())


first = [nn.Flatten(), nn.Linear(16 * 96, 128), nn.LayerNorm(128), nn.ReLU()]
model = nn.Sequential(*first, block(), block(), nn.Linear(128, 1), nn.Sigmoid())
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
for _ in range(100):
    optimizer.zero_grad()
    given = model(torch.tensor(x[:300]))[:, 0]
    nn.functional.binary_cross_entropy(given, torch.tensor(y[:300]).float()).backward()
    optimizer.step()
axes = {"x": {0: "batch"}, "score": {0: "batch"}}
names = {"input_names": ["x"], "output_names": ["score"]}
torch.onnx.export(
    model.eval(), (torch.tensor(x[:2]),), "model.onnx", dynamo=False, dynamic_axes=axes, **names
)
np.savez("samples.npz", x=x[300:], label=y[300:])
