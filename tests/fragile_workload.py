"""The iris workload in a process that is killed when a test asks for it.

Whoever finishes a job keeps its outcome; the process ends itself right before or right after that
if there is a file of that name (``before``, ``after``) in the folder ``PARETUNE_TEST_KILL``.
"""

import os
import signal
from pathlib import Path

from iris_workload import Iris

from paretune.runners.store.artifact_store import ArtifactStore

_write = ArtifactStore.write


def _die(moment: str) -> None:
    order = Path(os.environ["PARETUNE_TEST_KILL"]) / moment
    if order.exists():
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _fragile_write(store: ArtifactStore, path: Path, text: str) -> None:
    if path.parent.name != "outcomes":
        _write(store, path, text)
        return
    _die("before")
    _write(store, path, text)
    _die("after")


ArtifactStore.write = _fragile_write  # in the build worker's process only: this file is read there


class Fragile(Iris):
    """Iris, see above."""
