"""An LSTM tagger that takes (sequence, batch, features), PyTorch's default: axis 0 is time."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
r = np.random.default_rng(0)


class Tagger(nn.Module):
    def __init__(s):
        super().__init__()
        s.rnn, s.head = nn.LSTM(8, 32), nn.Linear(32, 5)

    def forward(s, frames):
        out, _ = s.rnn(frames)
        return s.head(out)


torch.onnx.export(
    Tagger().eval(),
    (torch.zeros(20, 2, 8),),
    "model.onnx",
    dynamo=False,
    input_names=["frames"],
    output_names=["tags"],
    dynamic_axes={"frames": {0: "seq", 1: "batch"}, "tags": {0: "seq", 1: "batch"}},
    opset_version=17,
)
# 20 steps of 64 recordings, as the model takes them
np.savez("samples.npz", frames=r.standard_normal((20, 64, 8)).astype(np.float32))
