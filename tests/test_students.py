"""Students derived from a reference."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from paretune import scaled
from paretune.spaces import WorkloadError


class Perceptron(nn.Module):
    def __init__(self, classes: int, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, width))
        for _ in range(depth - 1):
            self.layers += nn.Sequential(nn.ReLU(), nn.Linear(width, width))
        self.last = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.layers(inputs))
        return outputs


class Encoder(nn.Module):
    """Takes no depth, but heads, whose number must divide its width."""

    def __init__(self, d_model: int = 96, nhead: int = 6) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(d_model, nhead, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.encoder(inputs)
        return outputs


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_width_and_depth_that_a_class_takes() -> None:
    found = scaled(partial(Perceptron, 10))
    assert list(found) == [
        "reference",
        *("half-depth", "quarter-depth", "half-width", "half"),
        *("half-width-quarter-depth", "quarter-width", "quarter-width-half-depth", "quarter"),
    ]
    models = {name: make() for name, make in found.items()}
    for model in models.values():
        assert model(torch.zeros(2, 8)).shape == (2, 10)
    shapes = {name: (m.last.in_features, len(m.layers) // 2 + 1) for name, m in models.items()}
    assert shapes["reference"] == (64, 4) and shapes["half-width"] == (32, 4)
    assert shapes["half-depth"] == (64, 2) and shapes["quarter"] == (16, 1)


def test_what_would_be_no_smaller_is_left_out() -> None:
    found = scaled(partial(Perceptron, 10, width=16, depth=2))
    # A quarter of 16 would be 4, and 8 is the least; of two layers one is a half and a quarter.
    assert list(found) == ["reference", "half-depth", "half-width", "half"]


def test_other_shares() -> None:
    found = scaled(partial(Perceptron, 10), widths=(0.75,), depths=())
    assert list(found) == ["reference", "0.75-width"]
    assert found["0.75-width"]().last.in_features == 48
    found = scaled(partial(Perceptron, 10), widths=(0.5,), depths=(0.75,))
    assert list(found) == ["reference", "0.75-depth", "half-width", "half-width-0.75-depth"]
    with pytest.raises(WorkloadError, match="shares of the reference's, between 0 and 1; got 48"):
        scaled(partial(Perceptron, 10), widths=(48,))


def test_blocks_are_left_out_where_a_class_takes_no_depth() -> None:
    found = scaled(Encoder)
    models = {name: make() for name, make in found.items()}
    depths = {name: len(model.encoder.layers) for name, model in models.items()}
    assert depths["reference"] == depths["half-width"] == 4
    assert depths["half-depth"] == depths["half"] == 2 and depths["quarter-depth"] == 1
    # The least common multiple of 8 and 6 heads.
    assert models["half"].encoder.layers[0].linear1.in_features == 48
    assert models["quarter"].encoder.layers[0].linear1.in_features == 24
    assert "quarter-width" not in scaled(partial(Encoder, d_model=48))
    assert parameters(models["half"]) < parameters(models["half-depth"])
    for model in models.values():
        width = model.encoder.layers[0].linear1.in_features
        assert model(torch.zeros(2, 3, width)).shape == (2, 3, width)


def test_every_other_block_is_kept() -> None:
    def tower() -> nn.Module:
        blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))
        for place, block in enumerate(blocks):
            nn.init.constant_(block.bias, place)
        return blocks

    half = scaled(tower)["half-depth"]()
    assert [block.bias[0].item() for block in half] == [0, 2, 4]


def test_what_cannot_be_scaled_is_said() -> None:
    with pytest.raises(WorkloadError, match=r"none of its whole numbers \(bins\) is known"):
        scaled(lambda bins=3: nn.Linear(bins, 2))
    with pytest.raises(WorkloadError, match="no integer 'size', given or as a default"):
        scaled(Perceptron, width="size")
    assert "half-width" in scaled(lambda size=64: nn.Linear(size, 2), width="size")
