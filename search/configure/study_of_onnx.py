"""Writes a study of an ONNX file: its workload and its study file."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from paretune.runners.cores import available_cores
from paretune.runners.formats import FORMATS
from paretune.runners.workload.model_file import fixed_batch
from paretune.spaces import SCHEMES, StudyError

_BATCH_SIZES = [1, 8, 32]
_OTHER_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")

_MARK = "Written by `paretune search --onnx`"

_WORKLOAD = '''"""An ONNX file and samples. Written by `paretune search --onnx`, yours to edit."""

from paretune import OnnxWorkload


class Model(OnnxWorkload):
    """`python -c "import paretune; help(paretune.OnnxWorkload)"` lists all settings."""

    model = {model!r}
    samples = {samples!r}
    labels = {labels!r}
    metric = {metric!r}
'''

_STUDY = """# Written by `paretune search --onnx`, yours to edit before the first search.
name: "{name}"
workload: workload.py:Model

space:
  quantization: [{quantizations}]
  fp32_layer_share: [0.0, 0.1, 0.25, 0.5]   # the most sensitive layers stay in fp32
  batch_size: {batch_sizes}
  execution_provider: [{providers}]
  intra_op_threads: {threads}
  graph_optimization: [all, extended, basic]

budget:
  trials: 60
"""


def write_onnx_study(
    model: Path,
    data: Path,
    *,
    labels: str | None = None,
    metric: str | None = None,
    folder: Path | None = None,
) -> Path:
    """Write a study of an ONNX file, unless it exists; return its study file.

    Args:
        model: The ONNX file.
        data: Samples (see :attr:`paretune.OnnxWorkload.samples`).
        labels: Name of an array in the samples' file, or a file.
        metric: See :attr:`paretune.OnnxWorkload.metric`.
        folder: Where to write; ``MODEL-study`` in the current folder by default.

    Raises:
        ParetuneError: If a file is missing, or the folder holds another study.
    """
    function = (metric or "").rpartition(":")[0]
    for file in (model, data, *([Path(function)] if function else [])):
        if not file.is_file():
            raise StudyError(f"there is no file {file}")
    folder = folder or Path(f"{model.stem}-study")
    batch, fit = fixed_batch(model), filter(FORMATS.get("onnx").takes, SCHEMES)
    files = {
        "workload.py": _WORKLOAD.format(
            model=_relative(model, folder),
            samples=_relative(data, folder),
            labels=_relative(labels, folder) if labels and Path(labels).is_file() else labels,
            metric=f"{_relative(function, folder)}:{str(metric)[len(function) + 1 :]}"
            if function
            else metric,
        ),
        "study.yaml": _STUDY.format(
            name=re.sub(r"[^\w.-]+", "-", model.stem),
            # An ONNX file cannot be trained.
            quantizations=", ".join(each.name for each in fit if not each.needs_training),
            batch_sizes=_BATCH_SIZES if batch is None else [batch],
            providers=", ".join(_providers()),
            threads=_threads(),
        ),
    }
    there = {n: (folder / n).read_text("utf-8") for n in files if (folder / n).is_file()}
    if _settings(there.get("workload.py", "")) == _settings(files["workload.py"]):
        files = {name: text for name, text in files.items() if name not in there}
    elif any(_MARK not in text for text in there.values()) or (folder / "results").exists():
        raise StudyError(
            f"{folder} holds a study of other files or of another metric: continue it with "
            f"`paretune search {folder / 'study.yaml'}`, or write this one elsewhere with --out DIR"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder / "study.yaml"


def _settings(workload: str) -> str:
    """Return the part of a written workload that says which study it is: its class attributes."""
    return workload.partition("    model = ")[2]


def _relative(file: str | Path, folder: Path) -> str:
    """Return a file's path as seen from a folder."""
    return os.path.relpath(Path(file).resolve(), folder.resolve())


def _providers() -> list[str]:
    """Return the back ends that are installed here."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    found = ["CPUExecutionProvider", *(name for name in _OTHER_PROVIDERS if name in there)]
    return [*found, "openvino/CPU"] if find_spec("openvino") else found


def _threads() -> list[int]:
    """Return the powers of two up to the number of cores."""
    return [2**power for power in range(available_cores().bit_length())]
