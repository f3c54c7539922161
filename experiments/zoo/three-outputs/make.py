"""A DETR-like file: outputs labels, boxes, scores in that order; the first is the least sensitive to rounding."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
r = np.random.default_rng(0)


class Detr(nn.Module):
    def __init__(s):
        super().__init__()
        s.body = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        s.cls, s.box = nn.Linear(64, 3), nn.Linear(64, 4)
        s.cls.bias.data = torch.tensor([9.0, 0.0, -9.0])  # the background nearly always wins

    def forward(s, queries, orig_target_sizes):
        f = s.body(queries)
        scores, labels = s.cls(f).softmax(-1).max(-1)
        return labels, s.box(f).exp() * orig_target_sizes.repeat(1, 2).unsqueeze(1), scores


torch.onnx.export(
    Detr().eval(),
    (torch.zeros(2, 5, 24), torch.ones(2, 2)),
    "model.onnx",
    dynamo=False,
    input_names=["queries", "orig_target_sizes"],
    output_names=["labels", "boxes", "scores"],
    dynamic_axes={
        k: {0: "unk__0"} for k in ("queries", "orig_target_sizes", "labels", "boxes", "scores")
    },
    opset_version=16,
)
np.savez(
    "samples.npz",
    queries=3 * r.standard_normal((160, 5, 24)).astype(np.float32),
    orig_target_sizes=np.full((160, 2), 640, np.float32),
)
