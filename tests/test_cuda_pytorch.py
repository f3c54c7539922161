"""PyTorch on a CUDA card; what needs one is skipped where torch finds none."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import IRIS
from torch import Tensor, nn

from paretune.runners.build.checkpoint import save_checkpoint
from paretune.runners.build.stages import StageInput, run_stage
from paretune.runners.build.tracing import Exported
from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.launched import counters, pytorch_model
from paretune.runners.runtimes.launched.cuda import pytorch_card
from paretune.runners.runtimes.launched.pytorch_model import PROVIDERS, PyTorchModel
from paretune.runners.runtimes.launched.refusal import RefusedError
from paretune.runners.runtimes.lease import lease
from paretune.runners.runtimes.pytorch_runner import PyTorchRunner
from paretune.runners.runtimes.runner import Prediction, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.workload.data import Data, Split
from paretune.runners.workload.learning.forward import answers, release_card
from paretune.runners.workload.learning.losses import distillation_loss
from paretune.runners.workload.learning.teacher import StoredTeacher
from paretune.runners.workload.learning.training import train
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import SCHEMES, RunSpec

LENGTH, BATCH = 16, 4
HAS_CARD = torch.cuda.is_available()
on_card = pytest.mark.skipif(not HAS_CARD, reason="torch finds no CUDA card here")
compiling = pytest.mark.skipif(
    not pytorch_card.can_compile(), reason="no Triton, C compiler or Python headers here"
)
CUDA = [
    pytest.param(each, marks=[on_card, *([compiling] if each.startswith("compile") else [])])
    for each in PROVIDERS
    if "-cuda" in each
]
QUICK = MeasurementSettings(
    launches=1, max_launches=1, extra_launches=0, warmup_seconds=0.2, min_seconds=0.2
)


class Tokens(nn.Module):
    """A model whose graph names its device: positions, a mask made inside, a constant."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.tokens, self.places = nn.Embedding(64, 32), nn.Embedding(LENGTH, 32)
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True)
        self.last = nn.Linear(32, 5)
        self.register_buffer("shift", torch.ones(32), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        place = torch.arange(LENGTH, device=tokens.device)
        mask = torch.zeros(32, dtype=self.shift.dtype).to(tokens.device)
        hidden = self.tokens(tokens) + self.places(place) + self.shift + mask
        outputs: Tensor = self.last(self.layer(hidden).mean(1))
        return outputs * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


def exported(path: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Export ``Tokens`` on the CPU with a dynamic batch."""
    tokens = torch.zeros(2, LENGTH, dtype=torch.int64)
    model: nn.Module = Tokens().eval()
    if dtype != torch.float32:
        model = Exported(model, ("input",), dtype).eval()
    batch = {0: torch.export.Dim("batch")}
    shapes: Any = ((batch,),) if dtype != torch.float32 else (batch,)
    program = torch.export.export(model, (tokens,), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def job(folder: Path, model: Path, provider: str, **options: str) -> dict[str, Any]:
    return {
        "model": str(model),
        "execution_provider": provider,
        "options": options,
        "intra_op_threads": 1,
        "batch_size": BATCH,
        "folder": str(folder),
    }


def feeds() -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 64, (BATCH, LENGTH)) for _ in range(3)]


def wanted(tokens: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        outputs: np.ndarray[Any, Any] = Tokens().double().eval()(torch.from_numpy(tokens)).numpy()
    return outputs


def product(folder: Path, size: int = 512) -> Path:
    """Export a large matrix product."""
    torch.manual_seed(0)
    layer = nn.Linear(size, size, bias=False).eval()
    path = folder / "product.pt2"
    torch.export.save(torch.export.export(layer, (torch.ones(256, size),)), path)
    return path


def relative_error(folder: Path, **options: str) -> float:
    path = product(folder)
    weight = next(iter(torch.export.load(path).state_dict.values())).detach().double().numpy()
    given = np.random.default_rng(0).standard_normal((256, len(weight))).astype(np.float32)
    model = PyTorchModel(job(folder, path, "eager-cuda", **options))
    right = given.astype(np.float64) @ weight.T
    return float(np.abs(model(model.feed([given]))[0] - right).max() / np.abs(right).max())


def test_a_moved_program_names_the_cpu_nowhere(tmp_path: Path) -> None:
    # "meta" stands for the card: it has shapes and no values.
    program = torch.export.load(exported(tmp_path / "tokens.pt2"))
    assert "arange" in str(program.graph) and "device: cpu" in str(program.graph)
    moved = pytorch_card.moved(torch, program, torch.device("meta"))
    assert "device: cpu" not in str(moved.graph) and "aten.view.default" not in str(moved.graph)
    outputs = moved.module()(torch.zeros(3, LENGTH, dtype=torch.int64, device="meta"))
    assert outputs.device.type == "meta" and outputs.shape == (3, 5)


@pytest.mark.parametrize("on", [True, False])
def test_tf32_is_one_switch_for_products_and_convolutions(on: bool) -> None:
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        pytorch_card.set_fp32_precision(torch, on)
        assert torch.backends.cuda.matmul.allow_tf32 is on
        assert torch.backends.cudnn.allow_tf32 is on
        conv = getattr(torch.backends.cudnn, "conv", None)  # torch 2.9
        if conv is not None:
            assert torch.backends.cuda.matmul.fp32_precision == ("tf32" if on else "ieee")
            assert (conv.fp32_precision == "tf32") is on
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept


@pytest.mark.parametrize(
    ("provider", "options", "says"),
    [
        ("eager-cpu", {"tf32": "1"}, "PyTorch has no option 'tf32' here; it has no options"),
        ("eager-cuda", {"tf_32": "1"}, "it has the options device_id, tf32, channels_last"),
        ("eager-cuda", {"tf32": "yes"}, "tf32 must be 1 or 0; got 'yes'"),
        ("graphs-cuda", {}, "it has eager-cpu, compile-cpu, eager-cuda"),
    ],
)
def test_options_and_providers_that_there_are_not(
    tmp_path: Path, provider: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(RefusedError, match=says) as refused:
        PyTorchModel(job(tmp_path, tmp_path / "none.pt2", provider, **options))
    assert refused.value.kind == "unsupported"


def test_providers_on_a_card_lease_the_card_and_may_compile_for_longer() -> None:
    runner = PyTorchRunner(provider_options={"compile-cuda-graphs": {"device_id": "1"}})
    devices = {each: runner.device(RunSpec("pytorch", each, 1, 1)) for each in PROVIDERS}
    assert devices["eager-cpu"] == devices["compile-cpu"] == "cpu"
    assert devices["eager-cuda-graphs"] == devices["compile-cuda-autotune"] == "gpu:0"
    assert devices["compile-cuda-graphs"] == "gpu:1"
    slow = {each for each in PROVIDERS if each.startswith("compile")}
    assert set(runner.record.start_s) == slow
    assert set(runner.record.needs) == set(PROVIDERS) - {"eager-cpu"}


def test_on_the_processor_nothing_is_resident_and_the_first_call_is_told(tmp_path: Path) -> None:
    model = PyTorchModel(job(tmp_path, exported(tmp_path / "tokens.pt2"), "eager-cpu"))
    feed = model.feed([feeds()[0]])
    assert model.resident(feed) is None
    assert not (tmp_path / "started").exists()
    np.testing.assert_allclose(model(feed)[0], wanted(feeds()[0]), atol=1e-5)
    assert (tmp_path / "started").exists()
    proof = model.proof()
    assert proof["elsewhere"] == [] and proof["nodes"]["eager-cpu"] > 10
    assert proof["options"]["host_memory"] == "pageable"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_inside_and_fp32_outside(tmp_path: Path, dtype: torch.dtype) -> None:
    path = exported(tmp_path / "tokens.pt2", dtype)
    model = PyTorchModel(job(tmp_path, path, "eager-cpu"))
    assert {each.dtype for each in model.graph.parameters()} == {dtype}
    [outputs] = model(model.feed([feeds()[0]]))
    right = wanted(feeds()[0])
    assert outputs.dtype == np.float32
    assert np.abs(outputs - right).max() < 0.05 * np.abs(right).max()


@pytest.mark.parametrize("scheme", ["fp16", "bf16"])
def test_the_export_casts_as_the_scheme_says(tmp_path: Path, scheme: str) -> None:
    loaded = LoadedWorkload(f"{IRIS}:Iris", IRIS.parent)
    checkpoint = tmp_path / "reference.safetensors"
    save_checkpoint(loaded.build_model("reference"), checkpoint, student="reference", pruning=[])
    given = StageInput(
        loaded, checkpoint, {"quantization": scheme}, tmp_path, lambda: torch.zeros(0)
    )
    program = torch.export.load(run_stage("export-program", given).path)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[scheme]
    assert {each.dtype for each in program.state_dict.values()} == {dtype}
    outputs = program.module()(torch.from_numpy(loaded.data.test.inputs))
    assert outputs.dtype == torch.float32 and torch.isfinite(outputs).all()
    assert FORMATS.get("pt2").takes(SCHEMES.get(scheme))


def test_what_a_driver_takes_is_added_to_the_memory_limit() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        counters.limit_memory(2**40)
        with counters.beyond_the_memory_limit():
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == before[1]
            taken = bytearray(64 * 2**20)
        limit, most = resource.getrlimit(resource.RLIMIT_DATA)
        assert 2**40 + len(taken) <= limit < 2**40 + 2**30 and most == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def test_a_graph_is_filled_with_inputs_of_its_own_shape_only() -> None:
    # A simulated card: its streams and graphs do nothing.
    nothing = SimpleNamespace(wait_stream=lambda other: None)
    cuda = SimpleNamespace(
        current_stream=lambda: nothing,
        Stream=lambda: nothing,
        stream=lambda stream: nullcontext(),
        graph=lambda graph: nullcontext(),
        CUDAGraph=lambda: SimpleNamespace(replay=lambda: None),
    )
    calls: list[Tensor] = []

    def module(given: Tensor) -> Tensor:
        calls.append(given)
        return given * 2

    graph = pytorch_card.CapturedGraph(SimpleNamespace(cuda=cuda), module, [torch.ones(2, 3)])
    assert len(calls) == 4  # three to warm up, one captured
    graph.fill([torch.full((2, 3), 7.0)])
    assert calls[-1].tolist() == [[7.0] * 3] * 2  # in place, where the graph reads
    assert graph.replay() is graph.outputs
    with pytest.raises(
        RefusedError, match=r"captured for an input of shape \[2, 3\]; got \[1, 3\]"
    ):
        graph.fill([torch.ones(1, 3)])


@pytest.mark.parametrize("provider", CUDA)
def test_a_program_exported_on_the_cpu_runs_right_on_the_card(
    tmp_path: Path, provider: str
) -> None:
    model = PyTorchModel(job(tmp_path, exported(tmp_path / "tokens.pt2"), provider))
    assert model.fp32_precision == "ieee"
    for tokens in [*feeds(), *feeds()]:  # a graph that is not filled again would repeat itself
        [outputs] = model(model.feed([tokens]))
        np.testing.assert_allclose(outputs, wanted(tokens), rtol=1e-4, atol=1e-4)
    nodes = model.profile(model.feed([feeds()[0]]), 3)
    assert nodes and {node["provider"] for node in nodes} == {provider}
    assert all(node["ms_per_call"] > 0 for node in nodes)
    once = model.resident(model.feed([feeds()[1]]))
    assert once is not None
    once()
    proof = model.proof()
    assert proof["elsewhere"] == [] and proof["nodes"][provider] > 10
    assert proof["options"]["fp32_precision"] == "ieee"


@on_card
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.01), (torch.bfloat16, 0.05)])
def test_sixteen_bits_agree_with_fp32_on_the_card(
    tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    path = exported(tmp_path / "tokens.pt2", dtype)
    model = PyTorchModel(job(tmp_path, path, "eager-cuda-graphs"))
    [outputs] = model(model.feed([feeds()[0]]))
    right = wanted(feeds()[0])
    assert np.abs(outputs - right).max() < tolerance * np.abs(right).max()


@on_card
def test_fp32_is_fp32_unless_tf32_is_asked_for(tmp_path: Path) -> None:
    if torch.cuda.get_device_capability()[0] < 8:
        pytest.skip("this card has no TF32")
    assert relative_error(tmp_path) < 1e-6
    assert relative_error(tmp_path, tf32="1") > 1e-5


@on_card
def test_pictures_with_channels_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten()).eval()
    picture = torch.rand(BATCH, 3, 16, 16)
    path = tmp_path / "pictures.pt2"
    torch.export.save(torch.export.export(net, (picture,)), path)
    right = net.double()(picture.double()).detach().numpy()
    for provider in ("eager-cuda", "eager-cuda-graphs"):
        model = PyTorchModel(job(tmp_path, path, provider, channels_last="1"))
        assert model.module is model.graph
        [outputs] = model(model.feed([picture.numpy()]))
        np.testing.assert_allclose(outputs, right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("provider", CUDA)
def test_a_launch_on_the_card(tmp_path: Path, provider: str) -> None:
    np.save(tmp_path / "tokens.npy", np.concatenate(feeds()))
    runner, run = PyTorchRunner(), RunSpec("pytorch", provider, BATCH, 1)
    samples = Samples([tmp_path / "tokens.npy"])
    model = exported(tmp_path / "tokens.pt2")
    predicted = runner.predict(model, run, samples, tmp_path, QUICK)
    assert isinstance(predicted, Prediction), predicted
    right = wanted(np.concatenate(feeds()))
    np.testing.assert_allclose(np.load(predicted.outputs), right, rtol=1e-4, atol=1e-4)
    assert set(predicted.providers) == {provider}
    with lease(f"test-{os.getpid()}") as held:
        launch = runner.launch(model, run, samples, tmp_path, QUICK, held)
    assert isinstance(launch, Launch), launch
    assert min(launch.latency_ms) > 0
    assert launch.device_latency_ms is not None and launch.device_latency_ms > 0
    assert launch.proof is not None and launch.proof.options["fp32_precision"] == "ieee"
    assert launch.proof.elsewhere == ()


@on_card
def test_a_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no CUDA card 99"):
        path = exported(tmp_path / "tokens.pt2")
        PyTorchModel(job(tmp_path, path, "eager-cuda", device_id="99"))


def data() -> Data:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, 8)).astype(np.float32)
    split = Split(inputs, (inputs[:, 0] > 0).astype(np.int64))
    return Data(split, split, split, split)


def trained(loss_of: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    losses = train(
        model,
        data(),
        loss_of,
        lambda found: float(np.mean([(o["output"].argmax(1) == t).mean() for o, t in found])),
        epochs=8,
        recipe=Recipe(batch_size=32),
        seed=0,
        peak_learning_rate=1e-2,
        teacher=StoredTeacher(torch.zeros(200, 2)),
    )
    return model, losses


def test_a_training_ends_on_the_cpu_with_finite_losses() -> None:
    seen: set[str] = set()
    release_card()
    before = torch.cuda.memory_allocated() if HAS_CARD else 0

    def loss(outputs: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        assert teacher is not None and teacher.device == outputs.device == targets.device
        seen.add(outputs.device.type)
        return distillation_loss(outputs, targets, None, Recipe())

    model, losses = trained(loss)
    assert seen == {"cuda" if HAS_CARD else "cpu"}
    assert {each.device.type for each in model.parameters()} == {"cpu"}
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    found = answers(model, data().validation, batch_size=64)
    outputs = np.concatenate([each["output"] for each, _ in found])
    assert outputs.shape == (200, 2)
    assert {each.device.type for each in model.parameters()} == {"cpu"}
    np.testing.assert_allclose(outputs, model(torch.from_numpy(data().test.inputs)).detach(), 1e-2)
    del model
    release_card()
    if HAS_CARD:  # cuBLAS keeps a workspace; nothing of the model or the optimizer is left
        assert torch.cuda.memory_allocated() - before < 128 * 2**20


def test_the_describing_process_lists_what_runs_here() -> None:
    described = pytorch_model.describe({})
    assert described["known"] == list(PROVIDERS)
    on_this_card = [each for each in described["available"] if "-cuda" in each]
    assert bool(on_this_card) is HAS_CARD
    if HAS_CARD and pytorch_card.can_compile():
        assert on_this_card == [each for each in PROVIDERS if "-cuda" in each]


@pytest.fixture
def simulated_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated card: the CPU under a card's name, so that the code around it runs here."""
    empty = torch.empty
    stream = SimpleNamespace(synchronize=lambda: None)
    monkeypatch.setattr(pytorch_model, "open_card", lambda torch, index: torch.device("cpu"))
    monkeypatch.setattr(pytorch_model, "set_fp32_precision", lambda torch, is_tf32: None)
    monkeypatch.setattr(
        pytorch_model, "CapturedGraph", lambda torch, module, inputs: Replayed(module, inputs)
    )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    monkeypatch.setattr(
        torch, "empty", lambda *size, pin_memory=False, **rest: empty(*size, **rest)
    )
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: stream)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)


class Replayed:
    """A simulated graph: it runs the module again."""

    def __init__(self, module: Callable[..., Any], inputs: list[Tensor]) -> None:
        self.module, self.inputs = module, [each.clone() for each in inputs]

    def fill(self, inputs: list[Tensor]) -> None:
        for place, given in zip(self.inputs, inputs, strict=True):
            place.copy_(given)

    def replay(self) -> Any:
        return self.module(*self.inputs)


@pytest.mark.parametrize("provider", ["eager-cuda", "eager-cuda-graphs"])
def test_a_call_on_a_simulated_card(tmp_path: Path, provider: str, simulated_card: None) -> None:
    model = PyTorchModel(job(tmp_path, exported(tmp_path / "tokens.pt2"), provider, tf32="1"))
    assert model.has_fixed_batch is (provider == "eager-cuda-graphs")
    for tokens in feeds():
        [outputs] = model(model.feed([tokens]))
        np.testing.assert_allclose(outputs, wanted(tokens), atol=1e-4)
    once = model.resident(model.feed([feeds()[0]]))
    assert once is not None
    once()
    proof = model.proof()
    assert proof["elsewhere"] == [] and set(proof["nodes"]) == {provider}
    assert proof["options"]["fp32_precision"] == "tf32"
    assert proof["options"]["host_memory"] == "pinned"
    nodes = model.profile(model.feed([feeds()[0]]), 2)
    assert {node["provider"] for node in nodes} == {provider}
