"""A library that gives a thread a signal stack of its own does not end the process later."""

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

SCRIPT = """
import signal, subprocess, threading
from paretune.runners.openvino_core import import_openvino
from paretune.runners.signal_stack import signal_stack_kept

signal.signal(signal.SIGCHLD, lambda *_: print("handled"))
with signal_stack_kept():
    held = [import_openvino().Core()]
    held[0].get_property("CPU", "OPTIMIZATION_CAPABILITIES")
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
subprocess.run(["true"])
"""


def test_a_plugin_that_another_thread_frees_leaves_signals_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
