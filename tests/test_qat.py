"""Quantization-aware training rounds what the exported file will round."""

import pytest
import torch
from torch import Tensor, nn

from paretune.runners.build.stages.qat import rounded


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "projections"), [("attention", 2), ("encoder", 4)])
def test_attention_is_rounded(kind: str, projections: int, training: bool) -> None:
    """It computes its projections without calling their layers (C25)."""
    torch.manual_seed(0)
    model: nn.Module = nn.MultiheadAttention(16, 4, batch_first=True)
    if kind == "encoder":
        model = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    model.train(training)
    inputs = torch.randn(2, 3, 16)
    given = (inputs, inputs, inputs) if kind == "attention" else (inputs,)

    def outputs() -> Tensor:
        with torch.no_grad():
            found = model(*given)
        return found[0] if isinstance(found, tuple) else found

    exact = outputs()
    with rounded(model) as rounding:
        coarse = outputs()
    assert len(rounding.ranges) == projections
    assert not torch.equal(exact, coarse) and torch.allclose(exact, coarse, atol=0.3)
    assert torch.equal(outputs(), exact)


@pytest.mark.parametrize(("low", "levels"), [(0.0, 256), (-0.17, 127 + 1 + 4)])
def test_inputs_are_unsigned_or_symmetric(low: float, levels: int) -> None:
    """As NNCF has them by default: a small negative value halves the levels of the rest (C25)."""
    layer = nn.Linear(1, 1, bias=False).eval()
    nn.init.constant_(layer.weight, 1.0)
    inputs = torch.linspace(low, 5, 5000)[None, :, None]
    with rounded(layer), torch.no_grad():
        assert len(layer(inputs).unique()) == levels


def test_another_model_is_not_rounded() -> None:
    one, other = nn.Linear(8, 8), nn.Linear(8, 8)
    inputs = torch.randn(4, 8)
    exact = other(inputs)
    with rounded(one):
        assert torch.equal(other(inputs), exact) and not torch.equal(one(inputs), exact)


def test_gradients_pass_as_if_nothing_were_rounded() -> None:
    layer = nn.Conv2d(3, 4, 3)
    with rounded(layer):
        layer(torch.randn(2, 3, 8, 8)).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.abs().min() > 0
