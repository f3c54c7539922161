"""Nothing phones home: a study runs without a network, and tries to reach nothing but loopback."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import QUICK_CONFIRMATION, write_study

from paretune.search.study.open_study import load_history

STUDY = {"budget": {"trials": 8}, "confirmation": QUICK_CONFIRMATION}


@pytest.mark.slow
def test_a_study_needs_no_route(tmp_path: Path) -> None:
    alone = ["unshare", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"]).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    study = write_study(tmp_path, **STUDY)
    command = [*alone, sys.executable, "-m", "paretune", "search", str(study)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(load_history(study).records) == 8 and load_history(study).published


@pytest.mark.slow
def test_nothing_but_loopback_is_called(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    study, trace = write_study(tmp_path, **STUDY), tmp_path / "trace"
    tracer = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(trace)]
    command = [*tracer, sys.executable, "-m", "paretune", "search", str(study)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    addresses = re.findall(
        r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', trace.read_text()
    )
    called = {four or six for four, six in addresses}
    print(f"addresses called: {sorted(called) or 'none'}")
    assert all(address.startswith("127.") or address == "::1" for address in called)
