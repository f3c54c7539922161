import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_bundles import write_bundle

from paretune.search.deliver.bundle_folder import replaced
from paretune.search.deliver.card import CODE
from paretune.spaces import StudyError


def write(folder: Path, *names: str) -> None:
    """Write a bundle of a manifest and some files."""
    with replaced(folder) as aside:
        for name in names:
            (aside / name).write_text(f"new {name}")
        model = {"file": names[0], "sha256": "0" * 64}
        (aside / "manifest.json").write_text(json.dumps({"model": model}))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_new_bundle_leaves_nothing_of_an_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "picked"
    write(folder, "model.onnx", "inputs.npy", "inputs_1.npy", "outputs.npy", "pipeline.py")
    (folder / "notes.txt").write_text("mine")
    (folder / "repository").mkdir()
    write(folder, "model.pt2", "inputs.npy", "outputs.npy")
    kept = {"notes.txt", "repository"}
    assert names(folder) == {"manifest.json", "model.pt2", "inputs.npy", "outputs.npy"} | kept
    assert "model.pt2" in (folder / "manifest.json").read_text()


def test_files_beside_the_model_go_with_it(tmp_path: Path) -> None:
    def bring(*beside: str) -> None:
        with replaced(tmp_path) as aside:
            (aside / "parts").mkdir()
            for name in ("model.onnx", *beside):
                (aside / name).write_text(name)
            files = [{"name": name, "sha256": name} for name in beside]
            model = {"file": "model.onnx", "sha256": "model.onnx", "beside": files}
            (aside / "manifest.json").write_text(json.dumps({"model": model}))

    bring("model.onnx.data", "parts/one")
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {
        "manifest.json",
        "model.onnx",
        "model.onnx.data",
        "parts/one",
    }
    bring("parts/two")
    assert not (tmp_path / "model.onnx.data").exists() and not (tmp_path / "parts/one").exists()
    assert (tmp_path / "parts" / "two").is_file()


def test_a_bundle_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    write(tmp_path, "model.onnx")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RuntimeError), replaced(tmp_path) as aside:
        (aside / "model.onnx").write_text("half")
        raise RuntimeError
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("manifest", [None, "{", '{"manifest_version": 3}', "[1]"])
def test_files_of_somebody_else_are_not_overwritten(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "pipeline.py").write_text("mine")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(StudyError, match=r"pipeline\.py"):
        write(tmp_path, "model.onnx", "pipeline.py")
    assert (tmp_path / "pipeline.py").read_text() == "mine"
    assert "model.onnx" not in names(tmp_path)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".paretune-left").mkdir()
    write(tmp_path, "model.onnx")
    assert names(tmp_path) == {"model.onnx", "manifest.json"}


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_code_of_a_card_runs_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    pytest.importorskip(runtime)
    monkeypatch.chdir(write_bundle(tmp_path / "bundle", runtime=runtime))
    names: dict[str, Any] = {"inputs": {"input": np.load("inputs.npy")}}
    exec(CODE[runtime], names)
    np.testing.assert_allclose(names["outputs"][0], np.load("outputs.npy"), atol=1e-5)
