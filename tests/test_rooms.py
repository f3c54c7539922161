"""The rooms of the house: each imports only from those before it, and none is too full."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each room with the rooms that it may import; the files that lie in a wing itself belong to all.
RUNNERS = ("runners",)
ROOMS: dict[str, tuple[str, ...]] = {
    "spaces": (),
    "runners": ("spaces",),
    "runners.store": ("spaces", *RUNNERS),
    "runners.workload": ("spaces", *RUNNERS, "runners.store"),
}
ROOMS["runners.build"] = (*ROOMS["runners.workload"], "runners.workload")
ROOMS["runners.runtimes"] = ROOMS["runners.build"]
ROOMS["runners.measure"] = (*ROOMS["runners.build"], "runners.build", "runners.runtimes")
ROOMS["runners.execute"] = (*ROOMS["runners.measure"], "runners.measure")
ROOMS["runners.fleet"] = (*ROOMS["runners.execute"], "runners.execute")
_BELOW = (*ROOMS["runners.fleet"], "runners.fleet")
ROOMS["search.record"] = _BELOW
ROOMS["search.storage"] = ROOMS["search.configure"] = (*_BELOW, "search.record")
ROOMS["search.propose"] = (*ROOMS["search.configure"], "search.configure")
ROOMS["search.confirm"] = (*ROOMS["search.propose"], "search.propose")
ROOMS["search.run"] = (*ROOMS["search.confirm"], "search.storage", "search.confirm")
ROOMS["search.review"] = (*ROOMS["search.run"], "search.run")
ROOMS["search.deliver"] = (*ROOMS["search.review"], "search.review")
ROOMS["search.study"] = (*ROOMS["search.deliver"], "search.deliver")
ROOMS["search.cli"] = (*ROOMS["search.study"], "search.study")
MOST_FILES = 15


def room_of(module: str) -> str:
    """Return the room of a module below `paretune`, by the longest name that is one."""
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next(name for name in names if name in ROOMS)


def files() -> Iterator[tuple[str, Path]]:
    """Yield every file of the house with its room."""
    for wing in ("spaces", "runners", "search"):
        for path in sorted((ROOT / wing).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if module not in ("search.__init__",) and "template" not in path.parts:
                yield room_of(module), path


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def libraries(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_before_it(room: str) -> None:
    for path in (path for own, path in files() if own == room):
        for name in imported(path):
            if name.startswith("paretune."):
                other = room_of(name.removeprefix("paretune."))
                assert other in (room, *ROOMS[room]), f"{path}: {name}"
            assert name != "paretune" and not name.startswith("tests"), path


def test_no_room_is_too_full() -> None:
    folders = {path.parent for _, path in files()}
    for folder in folders:
        inside = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(inside) <= MOST_FILES, folder


def test_every_room_says_what_it_is() -> None:
    for folder in {path.parent for _, path in files()}:
        text = (folder / "__init__.py").read_text("utf-8")
        assert ast.get_docstring(ast.parse(text)), folder


def test_spaces_knows_no_library() -> None:
    for path in (ROOT / "spaces").rglob("*.py"):
        assert libraries(path) <= {"paretune", *sys.stdlib_module_names}, path


def test_the_process_that_times_imports_only_numpy_and_its_runtime() -> None:
    counters = {"numpy", "pynvml", "mlperf_loadgen"}  # the last two only if they are asked for
    inside = sorted((ROOT / "runners" / "runtimes" / "launched").rglob("*.py"))
    assert inside
    for path in inside:
        runtime = (
            {"torch"} if path.stem.startswith("pytorch_") else {path.stem.removesuffix("_model")}
        )
        allowed = counters | {"onnxruntime", "openvino", "torch"} & runtime
        assert libraries(path) <= allowed | set(sys.stdlib_module_names), path


def test_few_files_import_mlflow_and_two_the_samplers() -> None:
    everything = [path for _, path in files()]
    tracking = [path for path in everything if "mlflow" in libraries(path)]
    assert all(p.parent.name == "mlflow" or p.name == "mlflow_study.py" for p in tracking)
    sampling = [p.name for p in everything if "optuna.samplers" in p.read_text("utf-8")]
    assert sampling == ["frontier_sampler.py", "strategy.py"]


def test_only_the_server_imports_the_mcp_sdk() -> None:
    importing = {path.parent.name for _, path in files() if {"mcp", "mcp_types"} & libraries(path)}
    assert importing == {"mcp_server"}


def test_locks_and_onnx_sessions_are_made_in_one_way() -> None:
    texts = {path: path.read_text("utf-8") for _, path in files()}
    locking = {path.name for path, text in texts.items() if "fcntl.flock(" in text}
    assert locking == {"file_lock.py"}
    running = {path.name for path, text in texts.items() if "InferenceSession(" in text}
    # The card only tells people how to make one.
    assert running - {"card.py"} == {"onnx_session.py", "onnxruntime_model.py", "libraries.py"}


def test_every_number_says_what_it_is() -> None:
    """A module's numbers have their unit, and their evidence or that there is none."""
    silent = []
    for _, path in files():
        text = path.read_text("utf-8")
        lines, body = text.splitlines(), ast.parse(text).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.Assign) and is_number(node.value):
                is_told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                beside = lines[node.lineno - 2 : node.lineno]
                if not is_told and not any("#" in line for line in beside):
                    silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not silent


def is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return bool(node.elts) and all(map(is_number, node.elts))
    if isinstance(node, ast.BinOp):
        return is_number(node.left) and is_number(node.right)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)
