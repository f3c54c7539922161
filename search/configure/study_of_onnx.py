"""Writes a study of an ONNX file: its workload and its study file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from paretune.runners.build.schemes.unfit import unfit_schemes
from paretune.runners.cores import available_cores
from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.workload.model_file import model_inputs
from paretune.runners.workload.onnx_files.input_settings import InputSettings
from paretune.runners.workload.onnx_files.inputs import fixed_batch, given_inputs
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.runners.workload.onnx_workload import WRITTEN
from paretune.spaces import SCHEMES, StudyError, split_target

_BATCH_SIZES = [1, 8, 32]
_FP32_BITS = 32
"""Schemes of this many bits are only for files that have more."""
_OTHER_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")

_WORKLOAD = '''"""An ONNX file and samples. Written by `paretune search --onnx`, yours to edit."""

from paretune import OnnxWorkload


class Model(OnnxWorkload):
    """`python -c "import paretune; help(paretune.OnnxWorkload)"` lists all settings."""

    model = {model!r}
    samples = {samples!r}
    labels = {labels!r}
    metric = {metric!r}
    outputs = {outputs!r}
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
{axes}
budget:
  trials: 60
"""


def write_onnx_study(
    model: Path,
    data: Path,
    *,
    labels: str | None = None,
    metric: str | None = None,
    outputs: Sequence[str] | None = None,
    settings: InputSettings | None = None,
    folder: Path | None = None,
) -> Path:
    """Write a study of an ONNX file, unless it exists; return its study file.

    Args:
        model: The ONNX file.
        data: Samples (see :attr:`paretune.OnnxWorkload.samples`).
        labels: Name of an array in the samples' file, or a file.
        metric: See :attr:`paretune.OnnxWorkload.metric`.
        outputs: Names of the outputs that are judged; all by default.
        settings: What is known of the inputs.
        folder: Where to write; ``MODEL-study`` in the current folder by default.

    Raises:
        ParetuneError: If a file is missing, or the folder holds another study.
    """
    settings = settings or InputSettings()
    function = (metric or "").rpartition(":")[0]
    for file in (model, data, *([Path(function)] if function else [])):
        if not file.exists():
            raise StudyError(f"there is no file {file}")
    folder = folder or Path(f"{model.stem}-study")
    aside = labels if labels and not Path(labels).is_file() else None
    given = given_inputs(model, data, aside, settings)
    batch = fixed_batch(model_inputs(model), given.layout)
    # An ONNX file cannot be trained, and of most there is no wider precision to cast from.
    providers = installed_providers()
    runtimes = [RUNTIMES.get(split_target(target)[0]) for target in providers]
    formats = [FORMATS.get(name) for name in {n: 0 for each in runtimes for n in each.formats}]
    schemes = [each for each in SCHEMES if any(made.takes(each) for made in formats)]
    schemes = [each for each in schemes if not each.needs_training]
    wide = unfit_schemes(model, [each for each in schemes if each.weight_bits == _FP32_BITS])
    workload = _WORKLOAD.format(
        model=_relative(model, folder),
        samples=_relative(data, folder),
        labels=_relative(labels, folder) if labels and not aside else labels,
        metric=f"{_relative(function, folder)}:{str(metric)[len(function) + 1 :]}"
        if function
        else metric,
        outputs=outputs and [*outputs],
    )
    for name in ("constants", "batch_axes", "shapes"):
        if value := getattr(settings, name):
            workload += f"    {name} = {dict(value)!r}\n"
    files = {
        "workload.py": workload,
        "study.yaml": _STUDY.format(
            name=re.sub(r"[^\w.-]+", "-", model.stem),
            quantizations=", ".join(each.name for each in schemes if each.name not in wide),
            batch_sizes=_BATCH_SIZES if batch is None else [batch],
            providers=", ".join(providers),
            threads=_threads(),
            axes=_axes(model, given.layout, providers),
        ),
    }
    there = {n: (folder / n).read_text("utf-8") for n in files if (folder / n).is_file()}
    if _settings(there.get("workload.py", "")) == _settings(files["workload.py"]):
        files = {name: text for name, text in files.items() if name not in there}
    elif any(WRITTEN not in text for text in there.values()) or _is_started(folder):
        raise StudyError(
            f"{folder} holds another study already, of other files or of another metric: write "
            "this one elsewhere with --out DIR, or continue that one with "
            f"`paretune search {folder / 'study.yaml'}`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder / "study.yaml"


def _axes(model: Path, layout: Layout, providers: Sequence[str]) -> str:
    """Return the line of further axes: for sizes that the file leaves free besides the batch."""
    axes = [axis for target in providers for axis in RUNTIMES.get(split_target(target)[0]).axes]
    is_free = any(
        not isinstance(size, int) and place != layout.inputs.get(each.name, 0)
        for each in model_inputs(model)
        for place, size in enumerate(each.shape)
        if each.name not in layout.shapes
    )
    if "input_shapes" not in axes or not is_free:
        return ""
    return "  axes: {input_shapes: [free, fixed]}       # fixed: compiled for the samples' sizes\n"


def _is_started(folder: Path) -> bool:
    """Return whether the study that was written into a folder has trials."""
    return any((folder / "results").glob("*.db"))


def _settings(workload: str) -> dict[str, str]:
    """Return the part of a written workload that says which study it is: its class attributes."""
    lines = workload.partition("class Model(")[2].splitlines()
    pairs = (line.strip().partition(" = ") for line in lines if line.startswith("    "))
    return {name: value for name, _, value in pairs if value and value != "None"}


def _relative(file: str | Path, folder: Path) -> str:
    """Return a file's path as seen from a folder."""
    return os.path.relpath(Path(file).resolve(), folder.resolve())


def installed_providers() -> list[str]:
    """Return the back ends that are installed here, as values of ``execution_provider``."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    found = ["CPUExecutionProvider", *(name for name in _OTHER_PROVIDERS if name in there)]
    return [*found, "openvino/CPU"] if find_spec("openvino") else found


def _threads() -> list[int]:
    """Return the powers of two up to the number of cores."""
    return [2**power for power in range(available_cores().bit_length())]
