import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import paretune

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
        "import search, runners, spaces",
        "from click.testing import CliRunner; from search.cli import main;"
        "assert 'paretune search' in CliRunner().invoke(main, ['--help']).output",
    ],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & HEAVY


def test_every_command_has_help() -> None:
    from search.cli import main

    assert set(main.commands) == {
        "search",
        "confirm",
        "sync",
        "doctor",
        "report",
        "verify",
        "status",
        "frontier",
        "init",
        "pick",
        "ui",
        "devices",
        "measure",
        "compare",
    }
    for name in main.commands:
        done = paretune(name, "--help")
        assert done.returncode == 0 and len(done.stdout) > 100


def test_devices_says_what_runs_here() -> None:
    out = paretune("devices").stdout
    assert "CPUExecutionProvider" in out and "yes" in out and "no" in out


def test_a_wrong_option_is_told_without_traceback() -> None:
    done = paretune("search", "--trials", "0")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("room", "above"),
    [
        ("spaces", {"runners", "search", "experiments"}),
        ("runners", {"search", "experiments"}),
        ("search", {"experiments"}),
    ],
)
def test_imports_go_one_way(room: str, above: set[str]) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert not imports(path) & above, path


def test_spaces_knows_no_library() -> None:
    for path in (ROOT / "spaces").glob("*.py"):
        assert imports(path) <= {"spaces", *sys.stdlib_module_names}, path


def test_the_process_that_times_imports_only_numpy_and_its_runtime() -> None:
    counters = {"numpy", "pynvml", "mlperf_loadgen"}  # the last two only if they are asked for
    for path in (ROOT / "runners" / "launched").glob("*.py"):
        runtime = {"torch"} if path.stem == "pytorch_model" else {path.stem.removesuffix("_model")}
        allowed = counters | {"onnxruntime", "openvino", "torch"} & runtime
        assert imports(path) <= allowed | set(sys.stdlib_module_names), path


def test_few_files_import_mlflow_and_one_the_samplers() -> None:
    files = [
        path for room in ("spaces", "runners", "search") for path in (ROOT / room).rglob("*.py")
    ]
    assert all(path.stem.startswith("mlflow_") for path in files if "mlflow" in imports(path))
    assert [p.name for p in files if "optuna.samplers" in p.read_text("utf-8")] == ["strategy.py"]
