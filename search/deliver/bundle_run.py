"""How a bundle's model is run: its manifest, its runner and its samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.runners.runtimes.interpreter import interpreter
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner import Samples
from paretune.runners.workload.onnx_files.layout import Layout
from paretune.runners.workload.user_code import load_plugins
from paretune.search.deliver.bundle import MANIFEST_VERSION
from paretune.search.deliver.bundle_folder import input_files
from paretune.spaces import GraphOptimization, RunSpec, StudyError


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a bundle's manifest.

    Raises:
        StudyError: If this version cannot read it, or the bundle has no samples.
    """
    path = folder / "manifest.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cannot read {path}: {error}; name a folder that `paretune pick --out` wrote"
        ) from error
    if values.get("manifest_version") != MANIFEST_VERSION:
        raise StudyError(
            f"{path} has manifest version {values.get('manifest_version')}; this version of "
            f"Paretune reads {MANIFEST_VERSION}: pick again"
        )
    if not (folder / "inputs.npy").is_file() or not (folder / "outputs.npy").is_file():
        raise StudyError(
            f"{folder} has no samples for verification: pick again from a confirmed study "
            "(`paretune confirm`)"
        )
    return values


def load_bundle_plugins(manifest: Mapping[str, Any], plugins: Sequence[Path] = ()) -> None:
    """Run the files that register a bundle's runtime or format.

    Args:
        manifest: The bundle's manifest.
        plugins: The files; those that the manifest names, where they still are, by default.
    """
    known = [*map(Path, manifest["run"].get("plugins", ()))]
    load_plugins([str(file) for file in plugins or filter(Path.is_file, known)], Path.cwd())


def bundle_run(manifest: Mapping[str, Any]) -> RunSpec:
    """Return how a bundle's model is run."""
    values = manifest["run"]
    session = values["session_options"]
    level = session.get("graph_optimization_level", GraphOptimization.ALL.level)
    return RunSpec(
        values["runner"],
        values["execution_provider"],
        values["batch_size"],
        session["intra_op_num_threads"],
        GraphOptimization.of_level(level),
        tuple(values.get("axes", {}).items()),
    )


def bundle_samples(folder: Path, manifest: Mapping[str, Any]) -> Samples:
    """Return a bundle's samples."""
    told = manifest.get("layout")
    layout = Layout.from_dict(told) if told else Layout()
    return Samples(input_files(folder, len([*folder.glob("inputs*.npy")])), layout=layout)


def bundle_runner(manifest: Mapping[str, Any]) -> ProcessRunner:
    """Return the runner of a manifest; make its interpreter if missing.

    Raises:
        StudyError: If its runtime is unknown here.
    """
    values = manifest["run"]
    if values["runtime"] not in RUNTIMES:
        raise StudyError(
            f"the bundle's runtime {values['runtime']!r} is unknown here; install the package that "
            f"has it, or give the file that registers it: `paretune verify BUNDLE --plugin FILE.py`"
        )
    python: Path | None = Path(values["python"])
    if python is not None and not python.is_file():
        python = interpreter(values["requirements"]) if values["requirements"] else None
    options = {values["execution_provider"]: values["provider_options"]}
    return RUNTIMES.get(values["runtime"]).make_runner(values["runner"], python, options)
