"""A tagger as Hugging Face exports it: logits (batch, sequence, classes), labels (batch, sequence) with -100 where nothing counts."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
r = np.random.default_rng(0)
ids = r.integers(0, 40, (300, 9))
tags = (ids * 7 + 3) % 9


class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.e, s.f = (
            nn.Embedding(40, 32),
            nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 9)),
        )

    def forward(s, input_ids):
        return s.f(s.e(input_ids))


m = Net()
o = torch.optim.Adam(m.parameters(), 1e-2)
for _ in range(80):
    o.zero_grad()
    nn.functional.cross_entropy(
        m(torch.tensor(ids)).flatten(0, 1), torch.tensor(tags).flatten()
    ).backward()
    o.step()
print("right:", (m(torch.tensor(ids)).argmax(-1).numpy() == tags).mean())
tags[:, -2:] = -100
torch.onnx.export(
    m.eval(),
    (torch.tensor(ids[:2]),),
    "model.onnx",
    dynamo=False,
    input_names=["input_ids"],
    output_names=["logits"],
    dynamic_axes={"input_ids": {0: "batch", 1: "seq"}, "logits": {0: "batch", 1: "seq"}},
    opset_version=17,
)
np.savez("samples.npz", input_ids=ids, tags=tags)
np.savez("shorter.npz", input_ids=ids[:, :7], tags=tags[:, :7])
