import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from paretune.runners.failure import Failure, FailureKind
from paretune.runners.runtimes.interpreter import environments, interpreter
from paretune.runners.runtimes.onnxruntime_runner import OnnxRuntimeRunner
from paretune.runners.runtimes.runner import Prediction, Samples
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.spaces import ParetuneError, RunSpec

OPENVINO = ["onnxruntime-openvino==1.24.1", "numpy==2.4.6"]


def test_requirements_that_cannot_be_installed_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ParetuneError, match="cannot make"):
        interpreter([str(tmp_path / "no_such_package")])
    assert not list(environments().glob("*/.ready"))


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package = tmp_path / "package"
    package.mkdir()
    # A package that pip installs from its folder without an index.
    (package / "build_it.py").write_text(
        "import zipfile\n"
        "def build_wheel(folder, *rest):\n"
        "    name = 'tiny-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(f'{folder}/{name}', 'w') as wheel:\n"
        "        wheel.writestr('tiny.py', 'here = True')\n"
        "        about = 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n'\n"
        "        wheel.writestr('tiny-1.0.dist-info/METADATA', about)\n"
        "        kind = 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'\n"
        "        wheel.writestr('tiny-1.0.dist-info/WHEEL', kind)\n"
        "        wheel.writestr('tiny-1.0.dist-info/RECORD', '')\n"
        "    return name\n"
    )
    (package / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'build_it'\nbackend-path = ['.']\n"
    )
    python = interpreter([str(package)])
    assert os.system(f"{python} -c 'import tiny'") == 0
    made = python.stat().st_mtime_ns
    assert interpreter([str(package)]) == python
    assert python.stat().st_mtime_ns == made


@pytest.mark.slow
def test_a_provider_that_silently_falls_back_is_a_failure(tmp_path: Path) -> None:
    # OpenVINO's provider has no determinant: ONNX Runtime would run that node on the processor's.
    square = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8, 8])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])]
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["xx"], name="square"),
        helper.make_node("Det", ["xx"], ["y"], name="determinant"),
    ]
    graph = helper.make_graph(nodes, "falls back", square, out)
    model = tmp_path / "det.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), model)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((4, 8, 8), dtype=np.float32))
    runner = OnnxRuntimeRunner("openvino", interpreter(OPENVINO))
    run = RunSpec("openvino", "OpenVINOExecutionProvider", 2, 1)
    samples = Samples([tmp_path / "x.npy"])
    failure = runner.predict(model, run, samples, tmp_path, MeasurementSettings())
    assert isinstance(failure, Failure) and failure.kind is FailureKind.UNSUPPORTED
    assert "determinant (Det, CPUExecutionProvider)" in failure.message
    tolerant = replace(MeasurementSettings(), fallback_tolerance=0.99)
    ran = runner.predict(model, run, samples, tmp_path, tolerant)
    assert isinstance(ran, Prediction), ran
    assert set(ran.providers) == {"OpenVINOExecutionProvider", "CPUExecutionProvider"}
    assert sum(share.time_share for share in ran.providers.values()) == pytest.approx(1)
