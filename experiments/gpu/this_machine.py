"""Writes the gpu studies for the machine at hand: without what it, or this version, does not have.

    python this_machine.py OUT_FOLDER

Copies the workload, and writes each study file without execution providers that are not installed
and schemes that are not registered; says what it left out. A study file with them would be refused.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from paretune.runners.failure import Failure
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.spaces import SCHEMES, split_target

HERE = Path(__file__).parent
STUDIES = ("pictures.yaml", "sentences.yaml")


def main(folder: Path) -> None:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HERE / "workload.py", folder / "workload.py")
    available = providers()
    for name in STUDIES:
        values, without = fitted(yaml.safe_load((HERE / name).read_text("utf-8")), available)
        (folder / name).write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
        print(f"{name}: left out, because not here: {', '.join(without) or 'nothing'}")


def providers() -> dict[str, tuple[str, ...]]:
    """Return the available execution providers of ONNX Runtime and PyTorch, by runner."""
    found: dict[str, tuple[str, ...]] = {}
    for name in ("onnxruntime", "pytorch"):
        with tempfile.TemporaryDirectory() as folder:
            described = RUNTIMES.get(name).make_runner().describe(Path(folder))
        if isinstance(described, Failure):
            print(f"{name}: {described.message}")
        found[name] = () if isinstance(described, Failure) else tuple(described.available)
    return found


def fitted(
    values: dict[str, Any], available: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Any], list[str]]:
    """Return a study file's values that can be run here, and what was left out."""

    def is_here(axis: str, value: Any) -> bool:
        if axis == "execution_provider":
            runner, provider = split_target(value)
            runtime = values["runners"].get(runner, {}).get("runtime", runner)
            return provider in available.get(runtime, available["onnxruntime"])
        return axis != "quantization" or value in SCHEMES.names

    without = [
        str(value)
        for axis, listed in values["space"].items()
        for value in listed
        if not is_here(axis, value)
    ]
    space = {
        axis: [value for value in listed if is_here(axis, value)]
        for axis, listed in values["space"].items()
    }
    rules = []
    for rule in values["rules"]:
        kept = {
            axis: [v for v in (when if isinstance(when, list) else [when]) if v not in without]
            for axis, when in rule["forbid"].items()
        }
        if all(kept.values()):
            one = {axis: v[0] if len(v) == 1 else v for axis, v in kept.items()}
            rules.append({**rule, "forbid": one})
    return {**values, "space": space, "rules": rules}, without


if __name__ == "__main__":
    main(Path(sys.argv[1]))
