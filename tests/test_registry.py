"""Registries: names, entry points, and what cannot be registered."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from paretune.runners.formats import FORMATS
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.search.deliver.target import TARGETS
from paretune.spaces import AXES, AXIS_NAMES, SCHEMES, Registry, SpaceError, resolve


@dataclass(frozen=True)
class Record:
    name: str
    words: str = ""


MINE = Record("mine")


def test_own_records_are_found_in_order() -> None:
    assert RUNTIMES.names[:3] == ("onnxruntime", "openvino", "pytorch")
    assert FORMATS.names[:2] == ("onnx", "pt2")
    assert SCHEMES.names[:2] == ("fp32", "fp16") and "int8-qat" in SCHEMES
    assert TARGETS.names[0] == "triton"
    assert AXES.names[: len(AXIS_NAMES)] == AXIS_NAMES


def test_all_that_records_name_is_there() -> None:
    formats = [(each.export, each.quantize, each.signature, each.example) for each in FORMATS]
    makers = [maker for scheme in SCHEMES for maker in scheme.makers.values()]
    named = [*(name for each in formats for name in each), *makers]
    named += [each.runner for each in RUNTIMES] + [each.write for each in TARGETS]
    for reference in filter(None, named):
        assert callable(resolve(reference)), reference
    for runtime in RUNTIMES:
        assert runtime.backend.is_file()
        assert runtime.model_format in FORMATS
    for scheme in SCHEMES:
        assert all(name in FORMATS for name in scheme.makers)
    assert len({each.stage for each in FORMATS}) == len(FORMATS.names)


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    registry = Registry[Record]("pet", "no.such.group", [f"{__name__}:MINE"])
    with pytest.raises(SpaceError, match="pet must be one of mine; got 'yours'"):
        registry.get("yours")
    assert "yours" not in registry and list(registry) == [MINE]


def test_own_names_cannot_be_taken_and_others_replaced() -> None:
    registry = Registry[Record]("pet", "no.such.group", [f"{__name__}:MINE"])
    with pytest.raises(SpaceError, match="one of Paretune's own"):
        registry.register(Record("mine", "another"))
    with registry.restored():
        registry.register(Record("dog", "old"))
        registry.register(Record("dog", "new"))
        assert registry.get("dog").words == "new" and registry.names == ("mine", "dog")
    assert registry.names == ("mine",)


def test_other_packages_offer_records_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "toy_pets.py").write_text(
        f"from {__name__} import Record\nCAT = Record('cat')\nTHIEF = Record('mine')\n", "utf-8"
    )
    info = tmp_path / "toy_pets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-pets\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[toy.pets]\ncat = toy_pets:CAT\nthief = toy_pets:THIEF\nghost = toy_pets:GHOST\n", "utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry[Record]("pet", "toy.pets", [f"{__name__}:MINE"])
    with caplog.at_level(logging.WARNING, "paretune"):
        assert registry.names == ("mine", "cat")
    assert "'ghost'" in caplog.text and "cannot be loaded" in caplog.text
    assert registry.get("mine") is MINE and "one of Paretune's own" in caplog.text
    sys.modules.pop("toy_pets")


def test_a_reference_says_what_is_wrong_with_it() -> None:
    with pytest.raises(SpaceError, match="MODULE:FUNCTION"):
        resolve("json.dumps")
    with pytest.raises(SpaceError, match="has no 'dump_all'"):
        resolve("json:dump_all")
    assert resolve(len) is len
