"""One extension of each kind, as another package would write it; a study names it as a plugin."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretune.runners.failure import FailureKind, StageError
from paretune.runners.formats import FORMATS, FormatRecord
from paretune.runners.runtimes.registry import RUNTIMES, RuntimeRecord
from paretune.search.deliver.target import TARGETS, TargetRecord
from paretune.spaces import AXES, SCHEMES, AxisRecord, SchemeRecord


def export(given: Any) -> Any:
    """Write a perceptron's layers into one .npz file."""
    from torch import nn

    from paretune.runners.build.checkpoint import load_checkpoint
    from paretune.runners.build.stages import StageOutput

    model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    if not all(isinstance(layer, nn.Linear | nn.ReLU) for layer in model.children()):
        raise StageError(FailureKind.UNSUPPORTED, "only perceptrons can be written as .npz")
    arrays: dict[str, Any] = {}
    linear = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
    for place, layer in enumerate(linear):
        arrays[f"weight_{place}"] = layer.weight.detach().numpy()
        arrays[f"scale_{place}"] = np.float32(1)
        arrays[f"bias_{place}"] = layer.bias.detach().numpy()
    path = given.folder / "model.npz"
    np.savez(path, **arrays)
    return StageOutput(path, {"size_bytes": float(path.stat().st_size)})


def round_weights(given: Any, path: Path, left_out: Sequence[str]) -> None:
    """Store weights in 8 bits, with one scale per layer."""
    with np.load(given.parent_file) as file:
        arrays = {name: file[name] for name in file.files}
    for place in range(len(arrays) // 3):
        weight = arrays[f"weight_{place}"]
        scale = np.float32(np.abs(weight).max() / 127)
        arrays[f"weight_{place}"] = np.rint(weight / scale).astype(np.int8)
        arrays[f"scale_{place}"] = scale
    np.savez(path, **arrays)


def write_folder(bundle: Path, out: Path, name: str) -> Path:
    """Put the model beside a description of how to run it."""
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle / manifest["model"]["file"], out / manifest["model"]["file"])
    described = out / f"{name}.json"
    described.write_text(json.dumps(manifest["run"]), "utf-8")
    return described


def write_example(path: Path) -> None:
    """Write the identity of 8 numbers."""
    np.savez(
        path,
        weight_0=np.eye(8, dtype=np.float32),
        scale_0=np.float32(1),
        bias_0=np.zeros(8, np.float32),
    )


FORMATS.register(
    FormatRecord("npz", "numpy files", stage="export-npz", export=export, example=write_example)
)
SCHEMES.register(
    SchemeRecord("int8-rounded", "rounded", 8, 32, "weight", makers={"npz": round_weights})
)
AXES.register(AxisRecord("row_block", "rows multiplied at a time", baseline=1, is_ordered=True))
RUNTIMES.register(
    RuntimeRecord(
        "numpy",
        model_format="npz",
        default_provider="cpu",
        backend=Path(__file__).with_name("numpy_backend.py"),
        axes=("row_block",),
    )
)
TARGETS.register(TargetRecord("folder", "a folder with the run's settings", write_folder))
