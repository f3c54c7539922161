import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runners.failure import Failure
from runners.interpreter import environments, interpreter
from runners.onnxruntime_runner import OnnxRuntimeRunner
from runners.protocol import Timing, time_model
from runners.runner import Description, Prediction
from runners.settings import MeasurementSettings
from spaces import ParetuneError, RunSpec

OPENVINO = ["onnxruntime-openvino==1.24.1", "numpy==2.4.6"]


def test_requirements_that_cannot_be_installed_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ParetuneError, match="cannot be made"):
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
def test_openvino_runs_from_an_environment_of_its_own(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weight"], ["output"])],
        "same",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 8])],
        [weight],
    )
    model, inputs = tmp_path / "same.onnx", tmp_path / "inputs.npy"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), model)
    np.save(inputs, np.ones((4, 8), np.float32))
    runner = OnnxRuntimeRunner("openvino", interpreter(OPENVINO))
    described = runner.describe(tmp_path)
    assert isinstance(described, Description)
    assert "OpenVINOExecutionProvider" in described.available
    run = RunSpec("openvino", "OpenVINOExecutionProvider", 2, 1)
    ran = runner.predict(model, run, [inputs], tmp_path)
    assert isinstance(ran, Prediction), ran
    assert set(ran.nodes_by_provider) == {"OpenVINOExecutionProvider"}
    np.testing.assert_allclose(np.load(ran.outputs), np.load(inputs))
    timing = time_model(runner, model, run, [inputs], tmp_path, MeasurementSettings())
    assert isinstance(timing, Timing) and not isinstance(timing, Failure)
