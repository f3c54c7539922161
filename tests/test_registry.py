"""Registries: names, entry points, and what cannot be registered."""

import json
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL_SPACE

from paretune.runners.build.plan import plan
from paretune.runners.build.stages import stage_version, stage_versions
from paretune.runners.formats import FORMATS, FormatRecord
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.workload.recipe import Recipe
from paretune.search.deliver.target import TARGETS
from paretune.spaces import (
    AXES,
    AXIS_NAMES,
    SCHEMES,
    Axis,
    AxisRecord,
    BuildSpec,
    Candidate,
    Forbid,
    Registry,
    SearchSpace,
    SpaceError,
    resolve,
)


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
    formats = [
        (each.export, each.quantize, each.signature, each.beside, each.example) for each in FORMATS
    ]
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


@pytest.mark.parametrize("wrong", [{"is_build": True}, {"baseline": None}])
def test_an_axis_of_others_says_how_to_run_and_has_a_baseline(wrong: dict[str, Any]) -> None:
    with AXES.restored():
        AXES.register(AxisRecord("streams", "streams at once", **{"baseline": 1, **wrong}))
        with pytest.raises(SpaceError, match="axis streams must have a baseline"):
            Axis("streams", (1, 2))


def test_an_axis_of_others_is_part_of_the_space_and_of_candidates() -> None:
    values = {**SMALL_SPACE, "streams": [4, 1]}
    with pytest.raises(SpaceError, match="unknown axes: \\['streams'\\]"):
        SearchSpace.from_values(values)
    with AXES.restored():
        AXES.register(AxisRecord("streams", "streams at once", 1, is_ordered=True))
        space = SearchSpace.from_values(values)
        assert space.size == 2 * SearchSpace.from_values(SMALL_SPACE).size
        assert space.baseline.run.options == (("streams", 1),)
        other = Candidate.from_params(space.baseline.params | {"streams": 4})
        assert space.reason_against(other) is None and "streams 4" in other.label
        assert Candidate.from_dict(json.loads(json.dumps(other.as_dict()))) == other
        assert "options" not in SearchSpace.from_values(SMALL_SPACE).baseline.as_dict()["run"]
        without = Candidate.from_params(SearchSpace.from_values(SMALL_SPACE).baseline.params)
        assert "the space has" in (space.reason_against(without) or "")
        rule = Forbid({"streams": "> 2"}, "too many")
        assert rule(other) == "too many" and rule(space.baseline) is None
        with pytest.raises(SpaceError, match="at least 1; got 0"):
            Axis("streams", (0, 1))


def test_a_reference_says_what_is_wrong_with_it() -> None:
    with pytest.raises(SpaceError, match="MODULE:FUNCTION"):
        resolve("json.dumps")
    with pytest.raises(SpaceError, match="has no 'dump_all'"):
        resolve("json:dump_all")
    assert resolve(len) is len


def test_stages_and_their_keys_are_what_they_were() -> None:
    """Another name, version or parameter would build everything anew that people have stored."""
    recipe = Recipe(distill_epochs=2, fine_tune_epochs=2, qat_epochs=1)
    spec = BuildSpec("small", 0.5, "int8-qat", 0.25)
    stages = [name for name, _ in plan(spec, recipe)]
    assert stages[0] == "reference" and stages[-4:-1] == ["fine-tune", "qat", "export"]
    for scheme, made in (("int8-qat", "int8-static"), ("int4-weight", "int4-weight")):
        *_, (stage, params) = plan(BuildSpec("reference", 0.0, scheme, 0.25), recipe)
        assert (stage, params) == ("quantize", {"quantization": made, "fp32_layer_share": 0.25})
    assert list(plan(BuildSpec("reference", 0.0, "fp32"), recipe)) == [
        ("reference", {}),
        ("export", {}),
    ]
    assert list(plan(BuildSpec("reference", 0.0, "fp16"), recipe, "pt2")) == [
        ("reference", {}),
        ("export-program", {"quantization": "fp16"}),
    ]
    assert list(plan(BuildSpec("reference", 0.0, "fp16"), recipe, is_file=True)) == [
        ("import-model", {}),
        ("quantize", {"quantization": "fp16"}),
    ]
    versions = {"reference": 4, "export": 1, "export-program": 1, "quantize": 7, "distill": 5}
    assert {stage: stage_version(stage) for stage in versions} == versions
    assert versions.items() <= stage_versions().items()


def test_builds_depend_on_the_versions_of_registered_formats_and_schemes() -> None:
    """An outcome that is kept for a job must not outlive a new version of what a plugin makes."""
    made = FormatRecord("toy", "toys", stage="export-toy", export=len)
    scheme = SCHEMES.get("int8-static")
    with FORMATS.restored(), SCHEMES.restored():
        before = stage_versions()
        FORMATS.register(made)
        SCHEMES.register(replace(scheme, name="toy-bits", version=2))
        added = dict(stage_versions().items() - before.items())
        assert added == {"export-toy": 1, "quantize to toy-bits": 2}


def test_a_new_format_can_make_schemes_that_there_are() -> None:
    made = FormatRecord("toy", "toys", stage="export-toy", export=len, makers={"fp16": min})
    takes = [scheme.name for scheme in SCHEMES if made.takes(scheme)]
    assert takes == ["fp32", "fp16"]
    assert made.maker_of(SCHEMES.get("fp16")) is min
    with FORMATS.restored():
        FORMATS.register(made)
        *_, (stage, params) = plan(BuildSpec("reference", 0.0, "fp16"), Recipe(), "toy")
        assert (stage, params) == ("quantize", {"quantization": "fp16", "format": "toy"})
