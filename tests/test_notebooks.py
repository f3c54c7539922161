"""The notebooks run from top to bottom, show tables and pictures, and have the tutorials' code."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

DOCS = Path(__file__).parents[1] / "docs"
CODE_OF = {"onnx": "onnx", "pytorch": "pytorch", "hugging-face": "hugging-face", "serving": "onnx"}
"""The tutorial whose files a notebook writes, by the notebook's name."""
FILE = re.compile(r'^```python title="\S+"\n(?P<text>.*?)^```$', re.M | re.S)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
TEXT, TABLE, PICTURE = "text/plain", "text/html", "application/vnd.plotly.v1+json"


def read(name: str) -> NotebookNode:
    return nbformat.read(DOCS / "notebooks" / f"{name}.ipynb", as_version=4)


def cells(notebook: NotebookNode, kind: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for all that a notebook writes; its path is short, as those of sockets must be."""
    with tempfile.TemporaryDirectory(prefix="notebook-", ignore_cleanup_errors=True) as name:
        for variable in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
            monkeypatch.setenv(variable, name)
        yield Path(name)


def run(name: str, folder: Path) -> list[NotebookNode]:
    """Run a notebook in a kernel of this interpreter; return all that it shows."""
    notebook = read(name)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(folder))
    shown = [output for cell in cells(notebook, "code") for output in cell.outputs]
    for output in shown:
        print(output.get("text") or output.data.get(TEXT))
    return shown


def values(shown: list[NotebookNode], kind: str) -> list[str]:
    return [each.data[kind] for each in shown if kind in each.get("data", {})]


def test_every_notebook_is_known_here() -> None:
    assert {path.stem for path in (DOCS / "notebooks").glob("*.ipynb")} == set(CODE_OF)


@pytest.mark.parametrize("name", CODE_OF)
def test_a_notebook_is_clean_and_has_the_code_of_its_tutorial(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    code = cells(notebook, "code")
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
    bodies = {re.sub(r"^%%writefile .*\n", "", cell.source).strip() for cell in code}
    files = FILE.findall((DOCS / f"{CODE_OF[name]}.md").read_text("utf-8"))
    assert files
    for text in files:
        assert text.strip() in bodies, "copy the tutorial's code into the notebook's cell"
    for cell in cells(notebook, "markdown"):
        for link in LINK.findall(cell.source):
            assert (DOCS / "notebooks" / link).exists(), link
    assert f"](notebooks/{name}.ipynb)" in (DOCS / f"{name}.md").read_text("utf-8")


def test_the_notebook_of_an_onnx_file_runs(folder: Path) -> None:
    shown = run("onnx", folder)
    [frontier, _] = values(shown, TABLE)
    assert "<table" in frontier and "× faster" in frontier
    [picture] = values(shown, PICTURE)
    assert picture
    texts = values(shown, TEXT)
    assert "bottleneck: " in texts[1]
    [pick] = [text for text in texts if re.match(r"trial \d+: ", text)]
    assert "(baseline " in pick


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorch", "hugging-face"])
def test_a_notebook_that_trains_runs(folder: Path, name: str) -> None:
    shown = run(name, folder)
    assert "<table" in values(shown, TABLE)[0]
    assert values(shown, PICTURE)
    assert "promised" in values(shown, TEXT)[-1]


@pytest.mark.slow
def test_the_notebook_of_a_service_runs(folder: Path) -> None:
    texts = values(run("serving", folder), TEXT)
    [live] = [text for text in texts if text.startswith("answers: ")]
    assert "the answers are the bundle's" in live
    assert any("capacity of one replica" in text for text in texts)
