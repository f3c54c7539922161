"""Models with weights beside the ONNX file: searched, built, picked, exported and verified."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from conftest import QUICK, QUICK_CONFIRMATION, run_paretune
from onnx_models import external_data, onnx_answers, perceptron, samples

import paretune
from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload import onnx_weights
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.onnx_weights import external_files, save_onnx
from paretune.search.study.open_study import load_history
from paretune.spaces import BuildSpec, Quantization

DATA = "model.onnx.data"


@pytest.fixture
def builder(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """A builder of a model that has all its weights in another file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / DATA).write_bytes(b"somebody else's: the tools must not look here")
    np.savez(tmp_path / "samples.npz", **external_data(tmp_path / "model.onnx", rng))
    folder = tmp_path / "study"
    paretune.onnx_study(tmp_path / "model.onnx", tmp_path / "samples.npz", folder=folder)
    return Builder(LoadedWorkload("workload.py:Model", folder), ArtifactStore(tmp_path / "store"))


def build(builder: Builder, scheme: str, share: float = 0.0) -> Path:
    built = builder.build(BuildSpec("reference", 0.0, Quantization(scheme), share))
    assert isinstance(built, Built), built
    path, artifact = builder.store.get(built.artifact), builder.store.artifact(built.artifact)
    assert path is not None and artifact is not None
    assert (artifact.format, artifact.precision) == ("onnx", scheme)
    assert [each["name"] for each in artifact.inputs + artifact.outputs] == ["input", "output"]
    there = {file.name: file.stat().st_size for file in path.parent.iterdir()}
    del there["manifest.json"]
    assert {file.name: file.size_bytes for file in artifact.files} == there
    return path


def test_weights_beside_the_users_file_stay_beside_it(builder: Builder) -> None:
    path = build(builder, "fp32")
    assert external_files(path) == [path.with_name(DATA)]
    inputs = [builder.loaded.data.test.inputs]
    source = builder.loaded.model_file
    assert source is not None and source.with_name("weights.bin").is_file()
    np.testing.assert_array_equal(onnx_answers(path, inputs), onnx_answers(source, inputs))


@pytest.mark.parametrize("scheme", ["fp16", "int8-dynamic", "int8-static", "int8-weight"])
def test_what_fits_is_one_file(builder: Builder, scheme: str) -> None:
    assert external_files(build(builder, scheme)) == []


@pytest.mark.parametrize("scheme", ["fp16", "int8-dynamic"])
def test_what_does_not_fit_has_its_weights_beside_it(
    builder: Builder, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "MOST_BYTES", 2000)
    path = build(builder, scheme)
    assert external_files(path) == [path.with_name(DATA)]
    found = onnx_answers(path, [builder.loaded.data.test.inputs])
    assert builder.loaded.score(found, "test") > 0.9
    assert [file.name for file in path.parent.parent.rglob("*inferred*")] == []


@pytest.mark.parametrize(
    ("scheme", "share"), [("int8-static", 0.0), ("int8-weight", 0.0), ("int8-dynamic", 0.3)]
)
def test_what_has_to_be_passed_on_in_memory_says_that_it_is_too_large(
    builder: Builder, scheme: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "MOST_BYTES", 2000)
    failure = builder.build(BuildSpec("reference", 0.0, Quantization(scheme), share))
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "more than 2 GB" in failure.message


def test_a_file_that_is_written_again_keeps_no_old_weights(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "model.onnx"
    save_onnx(perceptron(rng), path, beside=True)
    first = (tmp_path / DATA).read_bytes()
    save_onnx(perceptron(rng), path, beside=True)
    assert len((tmp_path / DATA).read_bytes()) == len(first)
    save_onnx(perceptron(rng), path)
    assert not (tmp_path / DATA).exists() and onnx.load(path).graph.initializer


def test_weights_in_the_graphs_inside_nodes_are_found(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [], list(perceptron(rng).graph.initializer))
    node = onnx.helper.make_node("If", ["which"], ["out"], then_branch=inner, else_branch=inner)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "outer", [], []))
    save_onnx(model, tmp_path / "model.onnx", beside=True)
    assert external_files(tmp_path / "model.onnx") == [tmp_path / DATA]


@pytest.mark.slow
def test_a_study_of_such_a_file_is_searched_picked_exported_and_verified(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, data = tmp_path / "model.onnx", tmp_path / "samples.npz"
    onnx.save(perceptron(rng), model, save_as_external_data=True, location=DATA, size_threshold=0)
    np.savez(data, **samples(rng))
    study = paretune.onnx_study(model, data, folder=tmp_path / "study")
    values = yaml.safe_load(study.read_text("utf-8"))
    values |= {"measurement": QUICK, "confirmation": QUICK_CONFIRMATION, "tracking": False}
    values["space"] = {
        "quantization": ["fp32", "int8-dynamic"],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
    }
    study.write_text(yaml.safe_dump(values), "utf-8")
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = load_history(study)
    assert len(history.measured) == 4
    base = history.baseline
    assert base is not None
    whole = sum(file.stat().st_size for file in tmp_path.glob("model.onnx*"))
    assert base.metrics["size_bytes"] == pytest.approx(whole, rel=0.1)
    picked, triton = tmp_path / "picked", tmp_path / "triton"
    options = ["--min-accuracy", "0.99999", "--runner", "onnxruntime", "--no-measure"]
    done = run_paretune("pick", study, *options, "--out", picked, "--triton", triton)
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = json.loads((picked / "manifest.json").read_text("utf-8"))
    assert [each["name"] for each in manifest["model"]["beside"]] == [DATA]
    for written in (picked / "model.onnx", *triton.rglob("model.onnx")):
        onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    done = run_paretune("verify", picked)
    assert done.returncode in (0, 3, 4, 8), done.stdout + done.stderr  # the machine may be busy
    assert run_paretune("doctor", study).returncode == 0
    # The weights belong to what was picked.
    weights = picked / DATA
    weights.write_bytes(weights.read_bytes()[::-1])
    done = run_paretune("verify", picked)
    assert done.returncode == 7 and f"{DATA} is not the file that was picked" in done.stdout
    weights.unlink()
    done = run_paretune("verify", picked)
    assert done.returncode == 7 and f"{DATA} is missing" in done.stdout
