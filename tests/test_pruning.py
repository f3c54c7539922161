"""Pruning: how much is removed, from which layers, and what runs afterwards."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.pruning import Pruned, Pruning, nearest_width, output_layers
from paretune.runners.build.reconstruction import input_moments, kept_channels, reconstruct
from paretune.runners.build.tracing import Example
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import BuildSpec, Quantization


def pruned(
    make: Callable[[], nn.Module],
    *shape: int,
    ratio: float = 0.5,
    kept: Callable[[nn.Module], Sequence[nn.Module]] = lambda model: (),
) -> Pruned:
    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return make().eval()

    example = Example({"input": torch.randn(2, *shape)})
    return Pruning(fresh, example, ratio, 8, kept, lambda model: {}).run()


@pytest.mark.parametrize(
    ("wanted", "current", "width"),
    [
        (12, 16, 12),  # a quarter less of 16: not half of it
        (8, 16, 8),
        (6, 8, 6),  # narrow layers are pruned, too
        (4, 8, 4),
        (24, 32, 24),
        (33, 64, 32),
        (45, 64, 48),
        (1, 64, 8),
        (2, 3, 2),
        (60, 61, 61),
    ],
)
def test_what_is_left_is_the_nearest_fast_width(wanted: int, current: int, width: int) -> None:
    assert nearest_width(wanted, current, 8) == width


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_the_ratio_is_what_is_removed(ratio: float) -> None:
    """Widths of 8 were never pruned, and a quarter of 16 channels was a half (C29)."""

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)
        )

    model = pruned(network, 4, ratio=ratio).model
    assert [model[0].out_features, model[2].out_features] == [8 * (1 - ratio), 16 * (1 - ratio)]
    assert model[4].out_features == 3


class HeadFirst(nn.Module):
    """The classifier is defined before the backbone, as in many repositories."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(128, 40)
        self.backbone = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.classifier(self.backbone(inputs))
        return outputs


def test_the_output_layer_is_the_one_that_computes_the_output() -> None:
    """It was the last one that the class defines: 40 classes became 24 (C30, case 41)."""
    model = pruned(HeadFirst, 64).model
    assert model.classifier.out_features == 40
    assert [model.backbone[0].out_features, model.backbone[2].out_features] == [64, 64]


class TwoHeads(nn.Module):
    """Two heads, one of them behind batch normalization, around a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.classes = nn.Linear(16, 4), nn.Linear(16, 10, bias=False)
        self.norm = nn.BatchNorm1d(10)
        self.first, self.second = (
            nn.Linear(8, 16),
            nn.utils.parametrizations.weight_norm(nn.Linear(16, 16)),
        )

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        hidden = self.first(inputs).relu()
        hidden = hidden + self.second(hidden).relu()
        return {"boxes": self.boxes(hidden), "scores": self.norm(self.classes(hidden)).softmax(-1)}


def test_all_heads_are_output_layers() -> None:
    model = TwoHeads().eval()
    assert set(output_layers(model, model(torch.randn(2, 8)))) == {model.boxes, model.classes}


def test_a_model_that_returns_classes_has_its_last_layer_as_output_layer() -> None:
    model = HeadFirst()
    assert output_layers(model, model(torch.randn(2, 64)).argmax(1)) == [model.backbone[2]]


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.before, self.after = before, after
        self.one = nn.Conv2d(before, after, 3, stride=2 if after > before else 1, padding=1)
        self.two = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.two(torch.relu(self.one(inputs)))
        if self.after > self.before:
            extra = (self.after - self.before) // 2
            inputs = functional.pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
        return torch.relu(outputs + inputs)


def padded() -> nn.Module:
    """A public CIFAR ResNet: shortcuts without weights, padded with channels of zeros."""
    blocks = [Block(a, b) for a, b in ((16, 16), (16, 32), (32, 32), (32, 64))]
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 4),
    )


def test_padded_shortcuts_keep_their_width_and_blocks_shrink() -> None:
    """The forward pass broke (case 70)."""
    found = pruned(padded, 1, 16, 16)
    blocks = [module for module in found.model if isinstance(module, Block)]
    assert [block.one.out_channels for block in blocks] == [8, 16, 16, 32]
    assert [block.two.out_channels for block in blocks] == [16, 32, 32, 64]
    assert found.kept_whole and "2.one" not in found.kept_whole
    assert found.model(torch.randn(3, 1, 16, 16)).shape == (3, 4)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.rnn = nn.Linear(8, 32), nn.LSTM(32, 64, batch_first=True)
        self.middle, self.last = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs, _ = self.rnn(self.into(inputs).relu())
        found: Tensor = self.last(self.middle(outputs[:, -1]).relu())
        return found


def test_next_to_an_lstm_the_rest_is_pruned() -> None:
    """Torch-Pruning ended in "IndexError: index out of range in self" (case 48)."""
    model = pruned(Recurrent, 8, 8).model
    assert model.middle.out_features == 32 and model.last.out_features == 10
    assert model(torch.randn(3, 8, 8)).shape == (3, 10)


class Attention(nn.Module):
    """A fused projection that ``forward`` reshapes by a number of heads of its own."""

    def __init__(self, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        batch, length, width = inputs.shape
        split = self.qkv(inputs).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(query, key, value)
        inputs = inputs + self.out(found.transpose(1, 2).reshape(batch, length, width))
        outputs: Tensor = self.head((inputs + self.mlp(self.norm(inputs)))[:, 0])
        return outputs


def test_of_fused_attention_the_perceptron_is_pruned() -> None:
    found = pruned(Attention, 5, 64)
    assert found.model.mlp[0].out_features == 128 and found.model.qkv.out_features == 192
    assert "qkv" in found.kept_whole


def test_layers_that_are_kept_keep_their_width() -> None:
    model = pruned(HeadFirst, 64, kept=lambda model: [model.backbone[0]]).model
    assert [model.backbone[0].out_features, model.backbone[2].out_features] == [128, 64]


PERCEPTRON = Path(__file__).with_name("perceptron_workload.py")


class Copies(nn.Module):
    """Hidden channels in pairs: a weak one is half of a strong one."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 16, 3)
        self.middle = nn.Conv2d(16, 16, 1)
        self.classifier = nn.Linear(16, 4)
        with torch.no_grad():
            for layer in (self.convolution, self.middle):
                layer.weight[8:] = layer.weight[:8] / 2
                layer.bias[8:] = layer.bias[:8] / 2

    def forward(self, inputs: Tensor) -> Tensor:
        values = functional.relu(self.middle(functional.relu(self.convolution(inputs))))
        outputs: Tensor = self.classifier(values.mean((2, 3)))
        return outputs


def test_what_follows_makes_up_for_channels_that_others_tell() -> None:
    def fresh() -> nn.Module:
        torch.manual_seed(0)
        return Copies().eval()

    model, example = fresh(), Example({"input": torch.randn(2, 3, 8, 8)})
    found = Pruning(fresh, example, 0.5, 8, lambda m: (), lambda m: {}).run()
    kept = kept_channels(fresh(), found.history, example)
    assert [each.tolist() for each in kept["middle"]] == [[*range(8)], [*range(8)]]
    assert len(kept["convolution"][1]) == 3 and len(kept["classifier"][0]) == 4
    batches = [{"input": torch.randn(16, 3, 8, 8)} for _ in range(8)]
    moments = input_moments(model, batches)
    assert moments["middle"].shape == (16, 16) and moments["convolution"].shape == (3, 3)
    given = torch.randn(16, 3, 8, 8)
    with torch.no_grad():
        right = model(given)
        before = (found.model(given) - right).abs().max() / right.abs().max()
        reconstruct(model, found.model, kept, moments)
        after = (found.model(given) - right).abs().max() / right.abs().max()
    assert before > 0.1 and after < 0.005


def test_the_record_says_what_was_removed_and_what_it_changed(tmp_path: Path) -> None:
    loaded = LoadedWorkload(f"{PERCEPTRON}:Trained", PERCEPTRON.parent)
    builder = Builder(loaded, ArtifactStore(tmp_path / "store"))
    built = builder.build(BuildSpec("reference", 0.3, Quantization.FP32))
    assert isinstance(built, Built), built
    [stage] = [each for each in built.lineage if each.stage == "prune"]
    assert stage.metrics["channels_removed_share"] == 0.25
    assert 0 <= stage.metrics["output_error"] <= stage.metrics["output_error_plain"]
    assert stage.notes == ["25% of the channels were removed, not 30%"]
