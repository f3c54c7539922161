"""Which parts of a workload an edit changes: those that read what was edited, and no other."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paretune.runners import environment
from paretune.runners.build.keys import Keys
from paretune.runners.build.plan import plan
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.runners.workload.source import modules
from paretune.spaces import BuildSpec, Quantization

WORKLOAD = '''"""A workload."""
from functools import partial
from pathlib import Path
import numpy as np
import torch
from editable import registry
from editable.nets import Net
from paretune import Data, Recipe, Split, Workload
HERE = Path(__file__).parent
WEIGHTS = HERE / "reference.npy"
WIDTH = 8
def lazy(width):
    from editable.lazy import Lazy
    return Lazy(width)
def pretrained(file):
    model = Net(4)
    model.bias = np.load(HERE / file)
    return model
class Own(Workload):
    """It has everything of its own."""
    scale = 2
    def models(self):
        return {"reference": lambda: Net(16), "small": lambda: Net(WIDTH), "lazy": partial(lazy, 4),
            "registered": lambda: registry.make("tiny"), "scaled": lambda: Net(4 * self.scale),
            "trained": partial(pretrained, "trained.npy")}
    def data(self):
        rows = np.arange(40, dtype=np.float32).reshape(10, 4)
        split = Split(rows, np.arange(10) % 2)
        calibration, validation = split.take(np.arange(5)), split.take(np.arange(6))
        return Data(split, calibration, validation, split.take(np.arange(7)))
    def recipe(self):
        return Recipe(batch_size=4)
    def train_reference(self, model, data):
        model.load_state_dict(torch.load(WEIGHTS))
    def loss(self, outputs, targets, teacher):
        return self.distance(outputs, targets).mean()
    def distance(self, outputs, targets):
        return (outputs - targets).abs()
    def quality(self, outputs, targets):
        return float((outputs.argmax(axis=1) == targets).mean())
    def depends_on(self):
        return [WEIGHTS, HERE / "trained.npy", HERE / "other.npy"]
'''
PACKAGE = {
    "__init__.py": "from . import shapes\n",
    "nets.py": (
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        '    """A network."""\n'
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(4, width)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)\n"
    ),
    "lazy.py": "from editable.nets import Net\nclass Lazy(Net):\n    depth = 1\n",
    "registry.py": (
        "KNOWN = {}\n"
        "def register(make):\n"
        "    KNOWN[make.__name__] = make\n"
        "    return make\n"
        "def make(name):\n"
        "    return KNOWN[name]()\n"
    ),
    "shapes.py": (
        "from editable.nets import Net\n"
        "from editable.registry import register\n"
        "@register\n"
        "def tiny():\n"
        "    return Net(2)\n"
    ),
}
# Every model is of the package, whose registry is filled when it is loaded.
MODELS = {
    f"the model {name}"
    for name in ("reference", "small", "lazy", "registered", "trained", "scaled")
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workload, and a package that was installed from another folder by ``pip install -e``."""
    package, study = tmp_path / "elsewhere" / "editable", tmp_path / "study"
    package.mkdir(parents=True)
    study.mkdir()
    for name, text in PACKAGE.items():
        (package / name).write_text(text, "utf-8")
    (study / "workload.py").write_text(WORKLOAD, "utf-8")
    for name in ("reference", "trained", "other"):
        (study / f"{name}.npy").write_text(name)
    monkeypatch.syspath_prepend(str(package.parent))
    yield study
    for name in [name for name in sys.modules if name.partition(".")[0] == "editable"]:
        del sys.modules[name]


def loaded(folder: Path) -> LoadedWorkload:
    return LoadedWorkload("workload.py:Own", folder)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


def in_workload(old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "workload.py", old, new)


def in_package(name: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder.parent / "elsewhere" / "editable" / name, old, new)


def in_file(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text("other content") and None


EDITS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a comment": (in_workload("HERE =", "# Here.\n\nHERE ="), set()),
    "a docstring": (in_workload("It has everything", "It has it all"), set()),
    "a new student": (
        in_workload('{"reference"', '{"tiny": lambda: Net(1), "reference"'),
        {"the model tiny"},
    ),
    "a student's width": (in_workload("WIDTH = 8", "WIDTH = 6"), {"the model small"}),
    "an attribute that a student uses": (
        in_workload("scale = 2", "scale = 3"),
        {"the model scaled"},
    ),
    "a function of one student": (
        in_workload("return Lazy(width)", "return Lazy(width + 1)"),
        {"the model lazy"},
    ),
    "a test sample": (in_workload("np.arange(7)", "np.arange(8)"), {"the test split"}),
    "a calibration sample": (
        in_workload("np.arange(5)", "np.arange(4)"),
        {"the calibration split"},
    ),
    "the metric": (in_workload("argmax", "argmin"), {"the metric", "all metrics"}),
    "a further metric": (
        in_workload(
            "    def depends_on",
            "    def metrics(self):\n"
            "        from paretune.runners.workload.metrics.values import R2\n"
            "        return [R2()]\n"
            "    def depends_on",
        ),
        {"all metrics"},
    ),
    "where outputs have the samples": (
        in_workload(
            "    def depends_on",
            "    def layout(self):\n"
            "        from paretune.runners.workload.onnx_files.layout import Layout\n"
            "        return Layout(outputs={'output': 1})\n"
            "    def depends_on",
        ),
        {"the layout of inputs and outputs"},
    ),
    "what the loss calls": (in_workload(".abs()", ".square()"), {"the training"}),
    "the recipe": (in_workload("batch_size=4", "batch_size=8"), {"the training"}),
    "how the reference is loaded": (
        in_workload("torch.load(WEIGHTS)", "torch.load(WEIGHTS, weights_only=True)"),
        {"the training of the reference"},
    ),
    "something nobody uses": (in_workload("WIDTH = 8", "WIDTH = 8\nHEIGHT = 9"), set()),
    "a module that is loaded late": (
        in_package("lazy.py", "depth = 1", "depth = 2"),
        {"the model lazy"},
    ),
    "a comment in a package": (in_package("nets.py", "class Net", "# Net\nclass Net"), set()),
    "what a package registers": (
        in_package("shapes.py", "Net(2)", "Net(3)"),
        {"the model registered"},
    ),
    "a layer in a package": (in_package("nets.py", "Linear(4", "Linear(2 * 2"), MODELS),
    "the reference's weights": (in_file("reference.npy"), {"the training of the reference"}),
    "a student's weights": (in_file("trained.npy"), {"the model trained"}),
    "a file that no code names": (in_file("other.npy"), {"a file of depends_on"}),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_changes_the_parts_that_read_it(folder: Path, what: str) -> None:
    before = loaded(folder).info.parts
    assert loaded(folder).info.parts == before
    change, expected = EDITS[what]
    change(folder)
    after = loaded(folder).info.parts
    assert {part for part in {*before, *after} if before.get(part) != after.get(part)} == expected


def keys_of(
    workload: LoadedWorkload, quantization: str = "int8-static", student: str = "small"
) -> dict[str, str]:
    spec = BuildSpec(student, 0.5, Quantization(quantization))
    steps = list(plan(spec, workload.workload.recipe()))
    return {key.stage: key.key for key in Keys(workload).of(steps)}


def test_versions_of_libraries_are_part_of_keys_but_not_of_the_study(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded(folder)
    keys = keys_of(before)
    monkeypatch.setattr(modules, "_version", lambda top: "another")
    after = loaded(folder)
    assert after.info.parts == before.info.parts
    assert all(keys[stage] != key for stage, key in keys_of(after).items())


@pytest.mark.parametrize(("quantization", "is_part"), [("int8-static", True), ("fp16", False)])
def test_the_processor_is_part_of_the_keys_of_what_is_chosen_by_running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, quantization: str, is_part: bool
) -> None:
    workload = loaded(folder)
    before = keys_of(workload, quantization)
    other = {**environment.fingerprint(), "processor": "another"}
    monkeypatch.setattr(environment, "fingerprint", lambda: other)
    after = keys_of(workload, quantization)
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == ({"quantize"} if is_part else set())


def test_a_model_folder_of_transformers_is_read_by_who_names_it(folder: Path) -> None:
    (folder / "weights").mkdir()
    (folder / "weights" / "config.json").write_text("{}", "utf-8")
    (folder / "weights" / "model.safetensors").write_text("weights", "utf-8")
    edit(folder / "workload.py", "Net(WIDTH)", "(Net(WIDTH), 'weights')[0]")
    before = keys_of(loaded(folder))
    (folder / "weights" / "model.safetensors").write_text("others", "utf-8")
    after = keys_of(loaded(folder))
    assert before["reference"] == after["reference"]
    assert before["distill"] != after["distill"]


def test_what_is_drawn_without_a_seed_is_the_same_in_every_process(folder: Path) -> None:
    edit(
        folder / "workload.py",
        '        return {"reference"',
        '        net = Net(4)\n        return {"drawn": lambda: net, "reference"',
    )
    assert loaded(folder).info.parts == loaded(folder).info.parts


def test_a_moved_folder_changes_nothing(folder: Path) -> None:
    before = loaded(folder).info
    assert loaded(folder.rename(folder.with_name("moved"))).info.fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("what", "student", "first"),
    [
        ("a new student", "small", None),
        ("a test sample", "small", None),
        ("a comment in a package", "small", None),
        ("a further metric", "small", None),
        ("where outputs have the samples", "small", "quantize"),
        ("a student's width", "small", "distill-short"),
        ("a student's width", "reference", None),
        ("a calibration sample", "small", "quantize"),
        ("the reference's weights", "small", "reference"),
        ("a layer in a package", "small", "reference"),
        ("a module that is loaded late", "small", None),
    ],
)
def test_an_edit_gives_new_keys_to_the_stages_that_read_it(
    folder: Path, what: str, student: str, first: str | None
) -> None:
    def keys() -> dict[str, str]:
        return keys_of(loaded(folder), student=student)

    before = keys()
    EDITS[what][0](folder)
    after = keys()
    changed = [stage for stage in before if before[stage] != after[stage]]
    stages = list(before)
    assert changed == (stages[stages.index(first) :] if first else [])
