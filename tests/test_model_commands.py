"""``paretune measure`` and ``paretune compare`` on real ONNX files."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import run_paretune
from onnx import TensorProto, helper, numpy_helper

import paretune
from paretune.runners.measure.comparison import Comparison
from paretune.runners.measure.model_setup import ModelSetup
from paretune.runners.measure.statistic import Statistic
from paretune.runners.workload.model_file import model_inputs
from paretune.spaces import ParetuneError


def save_model(
    path: Path,
    *,
    layers: int = 1,
    batch: int | str = "batch",
    width: int | str = 64,
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """Write a chain of matrix products, 64 wide."""
    weight = numpy_helper.from_array(np.eye(64, dtype=np.float32), "weight")
    nodes = [helper.make_node("Cast", ["input"], ["h0"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("MatMul", [f"h{i}", "weight"], [f"h{i + 1}"]) for i in range(layers)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("input", dtype, [batch, width])],
        [helper.make_tensor_value_info(f"h{layers}", TensorProto.FLOAT, [batch, 64])],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_measure_prints_metrics_operators_and_the_bottleneck(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.onnx", layers=3)
    plot = tmp_path / "plot.html"
    done = run_paretune("measure", model, "--batch-size", "1,8", "--quick", "--plot", plot)
    assert done.returncode == 0, done.stderr
    for word in ("batch 1", "batch 8", "latency_p95_ms", "±", "bottleneck", "3 × MatMul"):
        assert word in done.stdout
    assert "latency_ms" in plot.read_text("utf-8")


def test_measure_json_holds_intervals_raw_samples_and_environment(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.onnx")
    done = run_paretune("measure", model, "--quick", "--json")
    [report] = json.loads(done.stdout)
    assert len(report["launches"]) >= 3
    p50 = report["statistics"]["latency_p50_ms"]
    assert p50["low"] <= p50["value"] <= p50["high"]
    medians = [np.percentile(launch["latency_ms"], 50) for launch in report["launches"]]
    assert p50["value"] == pytest.approx(np.mean(medians))
    assert report["environment"]["onnxruntime"]


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        (None, [], "there is no file"),
        (b"not a model", [], "not a readable ONNX file"),
        ({"batch": 4}, [], "takes batches of 4 only"),
        ({"width": "length"}, [], "--dim length=SIZE"),
        ({}, ["--provider", "CUDAExecutionProvider"], "has no CUDAExecutionProvider"),
        ({}, ["--batch-size", "0"], "at least 1"),
        ({}, ["--dim", "x"], "NAME=SIZE"),
    ],
)
def test_what_cannot_be_measured_says_why(
    tmp_path: Path, content: bytes | dict[str, object] | None, arguments: list[str], says: str
) -> None:
    model = tmp_path / "model.onnx"
    if isinstance(content, bytes):
        model.write_bytes(content)
    elif content is not None:
        save_model(model, **content)  # type: ignore[arg-type]
    done = run_paretune("measure", model, "--quick", *arguments)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_inputs_are_made_or_taken(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.onnx", width="length", dtype=TensorProto.INT64)
    [value] = model_inputs(model)
    assert (value.name, value.shape) == ("input", ("batch", "length"))
    [made] = ModelSetup(dimensions={"length": 64}).samples(model, tmp_path, 8).inputs
    array = np.load(made)
    assert array.dtype == np.int64 and array.shape == (64, 64)
    data = tmp_path / "data.npz"
    np.savez(data, input=np.arange(5 * 64).reshape(5, 64))
    [given] = ModelSetup(data=data).samples(model, tmp_path, 2).inputs
    np.testing.assert_array_equal(np.load(given), np.arange(5 * 64).reshape(5, 64))
    np.savez(data, input=np.ones((5, 64), np.float32))
    with pytest.raises(ParetuneError, match=r"is float32\[5, 64\]; the model takes int64"):
        ModelSetup(data=data).samples(model, tmp_path, 2)


@pytest.mark.slow
def test_compare_tells_a_slower_model(tmp_path: Path) -> None:
    short = save_model(tmp_path / "short.onnx", layers=10)
    long = save_model(tmp_path / "long.onnx", layers=40)
    done = run_paretune("compare", short, long, "--launches", "3", "--batch-size", "32")
    assert done.returncode == 0, done.stderr
    assert "× slower" in done.stdout
    turned = run_paretune("compare", long, short, "--launches", "3", "--batch-size", "32")
    assert "× faster" in turned.stdout


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (Statistic(0.9, 0.85, 0.95), "faster"),
        (Statistic(1.1, 1.05, 1.15), "slower"),
        (Statistic(1.1, 0.95, 1.25), "cannot tell"),
        (Statistic(1.005, 1.001, 1.009), "cannot tell"),
        (Statistic(1.5), "cannot tell"),
    ],
)
def test_verdicts(ratio: Statistic, verdict: str) -> None:
    assert Comparison(ratio, ()).verdict == verdict


@pytest.mark.slow
def test_python_measures_and_compares_as_the_commands_do(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.onnx")
    other = save_model(tmp_path / "other.onnx", layers=400)
    report = paretune.measure(str(model), batch_size=4, careful=False)
    assert report.run.batch_size == 4
    assert report.statistics["latency_p95_ms"].value > 0
    verdict = paretune.compare(model, str(other), launches=2)
    assert verdict.verdict == "slower" and verdict.ratio.value > 2
    with pytest.raises(ParetuneError, match="no file"):
        paretune.measure(tmp_path / "gone.onnx")
