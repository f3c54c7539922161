"""Separate interpreters for runtimes that cannot share one: made once, then reused.

Two builds of ONNX Runtime (``onnxruntime`` and ``onnxruntime-openvino``, say) overwrite each other
in one environment. A list of requirements names a virtual environment in the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from paretune.runners.file_lock import locked
from paretune.spaces import ParetuneError, digest

_LOG_LINES = 8
"""Lines of pip's output that a failure shows: its end, which holds the error."""


def interpreter(requirements: Sequence[str]) -> Path:
    """Return the Python of a virtual environment with these requirements; make it if missing.

    Two processes that ask at once make one environment. An incomplete environment is made again.
    Making it needs a package index; using it does not.

    Args:
        requirements: In pip's syntax, such as ``["onnxruntime-openvino==1.24.1", "numpy"]``.

    Raises:
        ParetuneError: If pip cannot install them; the end of its output is in the message.
    """
    name = digest([sorted(requirements), sys.version_info[:2], sys.platform])[:16]
    folder = environments() / name
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock"), create=True):
        if not (folder / ".ready").exists():
            _make(folder, python, requirements)
            (folder / ".ready").write_text("\n".join(requirements), "utf-8")
    return python


def environments() -> Path:
    """Return the folder of the environments, in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "paretune" / "environments"


def _make(folder: Path, python: Path, requirements: Sequence[str]) -> None:
    venv.create(folder, clear=True, with_pip=True)
    # This project's own constraints do not apply to another runtime's environment, and what is on
    # this process's path is not installed there.
    own = ("PIP_CONSTRAINT", "PYTHONPATH")
    environment = {k: v for k, v in os.environ.items() if k not in own}
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_LOG_LINES:])
        raise ParetuneError(
            f"cannot make an environment with {', '.join(requirements)} (pip's exit code "
            f"{done.returncode}):\n{tail}\nFix the requirements or the package index, or give the "
            "runner a `python` that has them"
        )
