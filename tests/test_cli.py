import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_paretune

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "mlflow", "optuna", "onnxruntime", "onnx", "nncf", "plotly", "scipy", "pydantic"}


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh process has after running some code."""
    code += "\nimport sys; print(' '.join(sorted({m.partition('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import paretune",
        "from click.testing import CliRunner; from paretune.search.cli.main import main;"
        "assert 'paretune search' in CliRunner().invoke(main, ['--help']).output",
    ],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & HEAVY


def test_every_command_has_help() -> None:
    from paretune.search.cli.main import main

    assert set(main.commands) == {
        "search",
        "confirm",
        "sync",
        "doctor",
        "report",
        "verify",
        "export",
        "watch",
        "status",
        "frontier",
        "trial",
        "init",
        "pick",
        "ui",
        "devices",
        "measure",
        "compare",
        "capacity",
        "worker",
        "mcp",
        "completion",
        "fleet",
    }
    for name in main.commands:
        done = run_paretune(name, "--help")
        assert done.returncode == 0 and len(done.stdout) > 100


@pytest.mark.slow
def test_devices_says_what_runs_here() -> None:
    out = run_paretune("devices").stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    found = {(row[1], row[2]): (row[0], row[3]) for row in rows if row and row[0] in ("yes", "no")}
    runs, why = found["onnxruntime", "CPUExecutionProvider"]
    assert runs == "yes" and re.search(r"onnxruntime [\d.]+; ran (\d+) of \1 nodes of a test", why)
    runs, why = found["onnxruntime", "DmlExecutionProvider"]
    assert runs == "no" and "needs onnxruntime-directml, on Windows" in why
    assert all(why for _, why in found.values())


def test_a_wrong_option_is_reported_without_traceback() -> None:
    done = run_paretune("search", "--trials", "0")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_bash_completes_commands_options_and_values() -> None:
    """The script that the command prints, in a real bash, which asks the installed command."""
    script = """
    eval "$(paretune completion bash)"
    for words in "paretune fro" "paretune pick --pref" "paretune pick --prefer th"; do
        COMP_WORDS=($words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
        _paretune_completion paretune; echo "${COMPREPLY[@]}"
    done
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["frontier", "--prefer", "throughput"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(shell: str) -> None:
    done = run_paretune("completion", shell)
    assert done.returncode == 0 and f"_PARETUNE_COMPLETE={shell}_complete" in done.stdout
