"""Models and trainers of other packages, built and exported without downloads."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import IRIS
from torch import nn

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.pruning import Pruning
from paretune.runners.build.tracing import Example
from paretune.runners.onnx_session import cpu_session
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.adapters.attention import heads_of_transformers
from paretune.runners.workload.data import Split
from paretune.runners.workload.learning.loader import torch_loader
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.spaces import BuildSpec, Quantization

FP32 = BuildSpec("reference", 0.0, Quantization.FP32)
HALF = BuildSpec("reference", 0.5, Quantization.FP32)

BERT = """
import numpy as np
from paretune import Data, Recipe, Split, Workload, from_transformers
from transformers import BertConfig
CONFIG = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=64, max_position_embeddings=16, num_labels=3)
class Bert(Workload):
    def models(self):
        return {"reference": from_transformers(CONFIG), "saved": from_transformers(FOLDER)}
    def data(self):
        rng = np.random.default_rng(0)
        def split(n):
            tokens = rng.integers(1, 50, (n, 12))
            mask = (np.arange(12) < rng.integers(4, 13, (n, 1))).astype(np.int64)
            return Split({"input_ids": tokens, "attention_mask": mask}, tokens[:, 0] % 3)
        return Data(split(64), split(16), split(32), split(32))
    def dynamic_axes(self):
        return {"input_ids": {1: "length"}, "attention_mask": {1: "length"}}
    def recipe(self):
        return Recipe(reference_epochs=2, fine_tune_epochs=1)
"""

PICTURES = """
import numpy as np
from paretune import Data, Recipe, Split, Workload, MAKER
class Pictures(Workload):
    def models(self):
        return {"reference": MAKER("NAME", num_classes=4OPTIONS)}
    def data(self):
        rng = np.random.default_rng(0)
        def split(n):
            labels = rng.integers(0, 4, n)
            pictures = rng.normal(0, 1, (n, 3, SIZE, SIZE)).astype(np.float32)
            return Split(pictures + labels[:, None, None, None].astype(np.float32), labels)
        return Data(split(33), split(8), split(16), split(16))
    def recipe(self):
        return Recipe(reference_epochs=1, fine_tune_epochs=1, batch_size=32)
"""

OWN_TRAINERS = """
import lightning, torch
from torch import nn
from torch.nn import functional
from iris_workload import Iris
from paretune import fit_with_lightning, torch_loader
class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, 3)
    def forward(self, inputs):
        return self.head(self.inner(inputs))
    def training_step(self, batch, place):
        inputs, targets = batch
        return functional.cross_entropy(self(inputs), targets)
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.02)
class Lit(Iris):
    def models(self):
        return {"reference": Module}
    def train(self, model, data, *, epochs, peak_learning_rate, seed):
        return fit_with_lightning(model, data, epochs=epochs, seed=seed, batch_size=16,
                                  accelerator="cpu")
class Accelerated(Iris):
    def train(self, model, data, *, epochs, peak_learning_rate, seed, teacher=None):
        from accelerate import Accelerator
        accelerator = Accelerator(cpu=True)
        optimizer = torch.optim.AdamW(model.parameters(), peak_learning_rate)
        loader = torch_loader(data.train, 16, shuffle=True, seed=seed)
        trained, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        trained.train()
        for _ in range(epochs):
            for inputs, targets in loader:
                outputs = trained(inputs)
                loss = functional.cross_entropy(outputs, targets)
                if teacher is not None:
                    taught = teacher.answers({"input": inputs})["output"]
                    loss = loss + functional.mse_loss(outputs, taught)
                optimizer.zero_grad()
                accelerator.backward(loss)
                optimizer.step()
        accelerator.unwrap_model(trained)
"""


def builder(folder: Path, text: str, name: str) -> Builder:
    (folder / "theirs.py").write_text(text, "utf-8")
    loaded = LoadedWorkload(f"theirs.py:{name}", folder)
    loaded.check_metrics()
    return Builder(loaded, ArtifactStore(folder / "store"))


def built(using: Builder, spec: BuildSpec) -> Path:
    found = using.build(spec)
    assert isinstance(found, Built), found
    path = using.store.get(found.artifact)
    assert path is not None
    return path


@pytest.mark.slow
def test_a_bert_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=16,
        num_labels=3,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "saved")
    using = builder(tmp_path, BERT.replace("FOLDER", repr(str(tmp_path / "saved"))), "Bert")
    path = built(using, FP32)
    graph = onnx.load(path).graph
    assert {each.name for each in graph.input} == {"input_ids", "attention_mask"}
    assert [each.name for each in graph.output] == ["logits"]
    session = cpu_session(path)
    for batch, length in ((1, 12), (3, 5)):
        feed = {n: np.ones((batch, length), np.int64) for n in ("input_ids", "attention_mask")}
        assert session.run(None, feed)[0].shape == (batch, 3)
    saved = using.build(BuildSpec("saved", 0.0, Quantization.FP32))
    assert isinstance(saved, Built) and "distill" not in {each.stage for each in saved.lineage}
    half = built(using, HALF)
    assert half.stat().st_size < path.stat().st_size


def test_heads_of_transformers_are_pruned_whole_without_a_line_from_the_user() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = transformers.BertConfig(vocab_size=50, intermediate_size=64, **sizes)

    def fresh() -> nn.Module:
        torch.manual_seed(0)
        model: nn.Module = transformers.BertForSequenceClassification(config).eval()
        attention = model.bert.encoder.layer[0].attention.self
        for each in (attention.query, attention.key, attention.value):
            with torch.no_grad():
                each.bias.copy_(torch.arange(32))  # it tells where a channel is from
        return model

    example = Example({"input_ids": torch.ones(2, 6, dtype=torch.long)})
    pruned = Pruning(fresh, example, 0.5, 8, lambda m: (), heads_of_transformers).run()
    after = pruned.model.bert.encoder.layer[0]
    attention = after.attention.self
    left = [each.bias.view(-1, 8) for each in (attention.query, attention.key, attention.value)]
    for each in left:
        assert each.equal(left[0]) and each.shape == (2, 8)
        assert each.equal(each[:, :1] + torch.arange(8)) and (each[:, 0] % 8 == 0).all()
    assert after.intermediate.dense.weight.shape == (32, 16)
    assert not pruned.kept_whole


@pytest.mark.parametrize(
    ("package", "maker", "name", "options", "size"),
    [
        ("timm", "from_timm", "test_vit", ", img_size=32", 32),
        ("timm", "from_timm", "mobilenetv3_small_050", "", 32),
        ("torchvision", "from_torchvision", "mobilenet_v3_small", "", 32),
        ("torchvision", "from_torchvision", "resnet18", "", 32),
    ],
)
def test_models_of_zoos(
    package: str, maker: str, name: str, options: str, size: int, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    text = PICTURES.replace("MAKER", maker).replace("NAME", name).replace("OPTIONS", options)
    using = builder(tmp_path, text.replace("SIZE", str(size)), "Pictures")
    whole, half = built(using, FP32), built(using, HALF)
    assert half.stat().st_size < 0.8 * whole.stat().st_size
    outputs = cpu_session(half).run(None, {"input": using.loaded.data.test.inputs[:3]})
    assert outputs[0].shape == (3, 4)


@pytest.mark.parametrize(("package", "name"), [("lightning", "Lit"), ("accelerate", "Accelerated")])
def test_trainers_of_others(
    package: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightning")
    pytest.importorskip(package)
    monkeypatch.syspath_prepend(str(IRIS.parent))
    using = builder(tmp_path, OWN_TRAINERS, name)
    path = built(using, HALF)
    outputs = cpu_session(path).run(None, {"input": using.loaded.data.validation.inputs})
    assert (outputs[0].argmax(1) == using.loaded.data.validation.targets).mean() > 0.5


def test_a_loader_yields_every_sample_once_an_epoch() -> None:
    split = Split(np.arange(9, dtype=np.float32)[:, None], np.arange(9))
    loader = torch_loader(split, 4, shuffle=True)
    assert len(loader) == 2  # the last sample would be alone
    epochs = [torch.cat([targets for _, targets in loader]).tolist() for _ in range(2)]
    assert len(epochs[0]) == 8 and epochs[0] != epochs[1]
    plain = torch_loader(split, 4)
    assert len(plain) == 3
    assert torch.cat([inputs for inputs, _ in plain])[:, 0].tolist() == list(range(9))
    named = Split({"a": split.inputs, "b": split.inputs}, split.targets)
    inputs, _ = next(iter(torch_loader(named, 4)))
    assert set(inputs) == {"a", "b"}
