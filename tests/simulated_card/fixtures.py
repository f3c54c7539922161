"""A SIMULATED driver and runtime in this process and in those that it launches."""

import importlib.util
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from paretune.runners import environment, gpu
from paretune.runners.runtimes.registry import RUNTIMES

FOLDER = Path(__file__).parent


@contextmanager
def simulated_card(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Yield the simulated library of a driver that has one card; the runtime is registered."""
    monkeypatch.setenv("SIMULATED_CARD", str(folder / "card.json"))
    monkeypatch.setenv("PARETUNE_LEASES", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    spec = importlib.util.spec_from_file_location("pynvml", FOLDER / "pynvml.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    # As on the machine itself, whether these tests run in a container or not.
    monkeypatch.setattr(gpu, "_sees_drivers_numbers", lambda: True)
    environment.fingerprint.cache_clear()
    with RUNTIMES.restored():
        runpy.run_path(str(FOLDER / "extensions.py"))
        yield module
    environment.fingerprint.cache_clear()
