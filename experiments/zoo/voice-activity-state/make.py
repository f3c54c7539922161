"""A streaming model: audio (batch, 512), state (2, batch, 32), and the sample rate as a scalar int64."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
r = np.random.default_rng(0)


class Vad(nn.Module):
    def __init__(s):
        super().__init__()
        s.enc, s.cell, s.out = nn.Linear(512, 32), nn.LSTMCell(32, 32), nn.Linear(32, 1)

    def forward(s, input, state, sr):
        h, c = s.cell(torch.relu(s.enc(input)) * (sr / 16000), (state[0], state[1]))
        return s.out(torch.relu(h)).sigmoid(), torch.stack([h, c])


torch.onnx.export(
    Vad().eval(),
    (torch.zeros(2, 512), torch.zeros(2, 2, 32), torch.tensor(16000)),
    "model.onnx",
    dynamo=False,
    input_names=["input", "state", "sr"],
    output_names=["output", "stateN"],
    dynamic_axes={
        "input": {0: "batch"},
        "state": {1: "batch"},
        "output": {0: "batch"},
        "stateN": {1: "batch"},
    },
    opset_version=16,
)
np.savez(
    "samples.npz",
    input=r.standard_normal((160, 512)).astype(np.float32),
    state=np.zeros((2, 160, 32), np.float32),
    sr=np.array(16000),
)
