"""Ways in which a model's constructor can lead to code, and whether that code is found."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.runners.workload.loaded import LoadedWorkload

WORKLOAD = """
import copy, importlib
from dataclasses import dataclass
from functools import lru_cache, partial
import numpy as np
from paretune import Data, Split, Workload
import ways
from ways import *
from ways import late as aliased
@dataclass(frozen=True)
class Config:
    width: int = 4
    names: frozenset = frozenset("abc")
class Factory:
    def __init__(self, width):
        self.width = width
        self.seen = {str(each) for each in range(5)}
    def __call__(self):
        return Net(self.width)
    @classmethod
    def make(cls):
        return cls(2)()
@lru_cache
def cached(width=4):
    return Net(width)
def outer(width):
    class Local(Net):
        kind = "local"
    def inner():
        return Local(width)
    return inner
def by_text(name):
    return importlib.import_module(f"ways.{name}").Late(1)
def from_module(name):
    return getattr(ways.shapes, name)(1)
try:
    from ways import missing
except ImportError:
    missing = None
def tried():
    return missing or fallback(3)
CONFIG = {}
CONFIG["width"] = 3
def changed():
    return Net(CONFIG["width"])
ready = Net(2)
class Own(Workload):
    def __init__(self):
        self.width = 4
        self.lock = object()
    def models(self):
        return {"reference": lambda: Net(1), WHAT: CONSTRUCTOR}
    def build(self):
        return Net(self.width)
    def data(self):
        rows = np.arange(40, dtype=np.float32).reshape(10, 4)
        split = Split(rows, np.arange(10) % 2)
        return Data(split, split, split, split)
"""
PACKAGE = {
    "__init__.py": "from ways.nets import *\nfrom ways import shapes, found\n",
    "nets.py": (
        "from torch import nn\n"
        "from ways import circle\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, width):\n"
        "        super().__init__(4, width)\n"
        "        circle.touch(self)\n"
        "class Base:\n"
        "    known = {}\n"
        "    def __init_subclass__(cls):\n"
        "        Base.known[cls.__name__] = cls\n"
        "def fallback(width):\n"
        "    return Net(width)\n"
        "def subclass(name):\n"
        "    return Base.known[name]()\n"
    ),
    "circle.py": (
        "def touch(model):\n    from ways import nets\n    assert isinstance(model, nets.Net)\n"
    ),
    "shapes.py": "from ways.nets import Net\nclass Round(Net):\n    corners = 0\n",
    "found.py": "from ways.nets import Base, Net\nclass Found(Base, Net):\n    place = 1\n",
    "late.py": "from ways.nets import Net\nclass Late(Net):\n    hour = 23\n",
}

# A constructor, the file and the text that are edited, and whether the constructor reads it.
WAYS = [
    ("lambda: Net(2)", "ways/nets.py", "(4, width)", True),
    ("lambda: Net(2)", "ways/circle.py", "isinstance(model", True),
    ("lambda: Net(2)", "ways/late.py", "hour = 23", False),
    ("lambda: Net(2)", "workload.py", 'kind = "local"', False),
    ("lambda width=2: Net(width)", "workload.py", "width=2", True),
    ("lambda: aliased.Late(1)", "ways/late.py", "hour = 23", True),
    ("lambda: ways.shapes.Round(1)", "ways/shapes.py", "corners = 0", True),
    ("partial(Factory(3))", "workload.py", "Net(self.width)\n    @", True),
    ("Factory(3)", "workload.py", "Factory(3)", True),
    ("Factory(3)", "ways/nets.py", "(4, width)", True),
    ("Factory.make", "workload.py", "cls(2)", True),
    ("cached", "workload.py", "width=4", True),
    ("outer(2)", "workload.py", 'kind = "local"', True),
    ("outer(2)", "workload.py", "outer(2)", True),
    ("partial(by_text, 'late')", "ways/late.py", "hour = 23", True),
    ("partial(from_module, 'Round')", "ways/shapes.py", "corners = 0", True),
    ("partial(subclass, 'Found')", "ways/found.py", "place = 1", True),
    ("tried", "workload.py", "missing = None", True),
    ("tried", "ways/nets.py", "return Net(width)", True),
    ("changed", "workload.py", 'CONFIG["width"] = 3', True),
    ("partial(Net, Config())", "workload.py", "width: int = 4", True),
    ("lambda: copy.deepcopy(ready)", "workload.py", "ready = Net(2)", True),
    ("self.build", "workload.py", "Net(self.width)\n    def data", True),
    ("self.build", "workload.py", "self.width = 4", True),
    ("lambda: self.build()", "workload.py", "self.width = 4", True),
    ("lambda: outer(self.width)()", "workload.py", "self.width = 4", True),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "elsewhere" / "ways").mkdir(parents=True)
    for name, text in PACKAGE.items():
        (tmp_path / "elsewhere" / "ways" / name).write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "ways"]:
        del sys.modules[name]


def parts(folder: Path) -> dict[str, str]:
    return dict(LoadedWorkload("workload.py:Own", folder).info.parts)


@pytest.mark.parametrize(("constructor", "file", "text", "is_read"), WAYS)
def test_code_that_a_constructor_runs_is_part_of_its_model(
    folder: Path, constructor: str, file: str, text: str, is_read: bool
) -> None:
    workload = folder / "workload.py"
    source = WORKLOAD.replace("CONSTRUCTOR", constructor).replace("WHAT", "'other'")
    workload.write_text(source, "utf-8")
    before = parts(folder)
    assert parts(folder) == before
    path = workload if file == "workload.py" else folder / "elsewhere" / file
    old = path.read_text("utf-8")
    assert text in old
    path.write_text(old.replace(text, edited(text)), "utf-8")
    after = parts(folder)
    assert (after["the model other"] != before["the model other"]) == is_read
    assert after["the training"] == before["the training"]
    assert after["the metric"] == before["the metric"]


def edited(text: str) -> str:
    """Return a text that means something else, and still runs."""
    for old, new in (
        ("isinstance(model", "isinstance(model and model"),
        ("Net(self.width)", "Net(self.width + 1)"),
        ("return Net(width)", "return Net(width + 1)"),
        ("(4, width)", "(4, width + 1)"),
        ("(width)", "(width + 1)"),
        ("local", "global"),
        ("None", "0"),
        ("23", "22"),
        ("4", "5"),
        ("3", "6"),
        ("2", "8"),
        ("1", "7"),
        ("0", "9"),
    ):
        if old in text:
            return text.replace(old, new)
    raise ValueError(text)


SHOW = (
    "import sys; from pathlib import Path\n"
    "from paretune.runners.workload.loaded import LoadedWorkload\n"
    "info = LoadedWorkload('workload.py:Own', Path(sys.argv[1])).info\n"
    "print(sorted(info.parts.items()))\n"
)


def test_every_process_finds_the_same(folder: Path) -> None:
    constructors = dict.fromkeys(constructor for constructor, *_ in WAYS)
    models = ", ".join(f"'{n}': {each}" for n, each in enumerate(constructors))
    source = WORKLOAD.replace("WHAT: CONSTRUCTOR", models)
    (folder / "workload.py").write_text(source, "utf-8")
    found = set()
    for seed in ("1", "2"):
        paths = [str(folder / "elsewhere"), *sys.path]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [sys.executable, "-c", SHOW, folder], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
