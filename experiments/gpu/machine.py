"""What a machine with a card has: the card, its driver, the runtimes, and what is missing.

python machine.py [OUT.json]
"""

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "triton", "torchao", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino",
            "tensorrt", "nncf", "optuna", "mlflow", "mlcommons-loadgen", "pytest")  # fmt: skip
CARD = (
    "name,uuid,driver_version,memory.total,compute_cap,clocks.max.sm,power.limit,mig.mode.current"
)


def main(out: Path | None) -> None:
    """Print, and write the same as JSON."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: version(name) for name in PACKAGES},
        "torch": tried(torch),
        "onnxruntime": tried(onnxruntime),
    }
    found["card"] = card() or found["torch"].get("card")
    has_tensorrt = found["packages"]["tensorrt"] is not None
    found["missing"] = [name for name, there in found["packages"].items() if there is None]
    for key, value in found.items():
        print(f"{key}: {value}")
    if not has_tensorrt:
        print("TensorRT is not installed: nothing here says anything about it")
    if found["card"] is None:
        print("no card here")
    if out:
        out.write_text(json.dumps(found, indent=1), "utf-8")


def card() -> str | None:
    """Return what the driver says of its cards, a line per card; None without a driver."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={CARD}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or None if done.returncode == 0 else None


def version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def tried(describe: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a runtime's description, or the error of its import."""
    try:
        return describe()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def torch() -> dict[str, Any]:
    """Return the versions that PyTorch was built with and the card that it finds."""
    import torch

    is_there = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if is_there else None,
        "card": torch.cuda.get_device_name() if is_there else None,
    }


def onnxruntime() -> dict[str, Any]:
    """Return the version, the folder and the providers that it was built with."""
    import onnxruntime

    return {
        "version": onnxruntime.__version__,
        "folder": str(Path(onnxruntime.__file__).parent),
        "providers": onnxruntime.get_available_providers(),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
