"""Reading a study file: all its mistakes at once, each with where it is and how to mend it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from runners.loaded_workload import WorkloadInfo
from runners.metric import METRICS
from runners.runtimes import RUNTIMES
from runners.user_code import split_reference
from search.config import StudyConfig
from search.yaml_source import Location, YamlSource, read_yaml
from spaces import (
    Axis,
    ConfigError,
    Forbid,
    ParetuneError,
    WorkloadError,
    split_target,
)

Describe = Callable[[str, Path], WorkloadInfo]
"""Loads a workload (``FILE.py:CLASS``, folder) and says what it offers."""


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with a study file.

    Attributes:
        location: Where: keys and list positions from the top.
        problem: The rule that is broken and the value received.
        mend: What to write instead.
    """

    location: Location
    problem: str
    mend: str = ""


def read_study_file(path: Path, describe: Describe | None = None) -> StudyConfig:
    """Read and check a study file.

    Args:
        path: The file.
        describe: If the file has mistakes, also checks the names in it against the workload, so
            that all mistakes are told together; names in a file without are for
            :func:`check_names`.

    Raises:
        ConfigError: With all mistakes, if there are any.
    """
    source = read_yaml(path)
    mistakes = [
        Mistake(location, "stands twice; only the last would count", "delete one of them")
        for location in source.repeated
    ]
    config: StudyConfig | None = None
    try:
        config = StudyConfig.model_validate(source.values)
    except ValidationError as error:
        mistakes += [_from_pydantic(dict(item)) for item in error.errors()]
    mistakes += _workload_mistakes(source)
    if config is not None:
        mistakes += _reference_mistakes(config, source.folder)
    if config is not None and not mistakes:
        return config
    workload = _workload_to_check(source)
    if describe is not None and workload is not None:
        try:
            mistakes += _name_mistakes(source.values, describe(workload, source.folder))
        except ParetuneError as error:
            mistakes.append(Mistake(("workload",), str(error), "mend the workload's code"))
    raise ConfigError(_report(source, mistakes))


def check_names(path: Path, info: WorkloadInfo) -> None:
    """Check the names of models and metrics in a study file against what its workload offers.

    Raises:
        ConfigError: With all names that are unknown, if there are any.
    """
    source = read_yaml(path)
    mistakes = _name_mistakes(source.values, info)
    if mistakes:
        raise ConfigError(_report(source, mistakes))


def _workload_mistakes(source: YamlSource) -> list[Mistake]:
    written = source.values.get("workload")
    if not isinstance(written, str):
        return []  # the schema has said so
    try:
        split_reference(written, source.folder)
    except WorkloadError as error:
        beside = _workload_beside(source.folder)
        mend = f"write `workload: {beside}`" if beside else "write FILE.py:CLASS"
        return [Mistake(("workload",), str(error), mend)]
    return []


def _reference_mistakes(config: StudyConfig, folder: Path) -> list[Mistake]:
    """Check what one part of the file says of another, or of files beside it."""
    mistakes = []
    for index, rule in enumerate(config.rules):
        if rule.function is not None:
            try:
                split_reference(rule.function, folder)
            except WorkloadError as error:
                mistakes.append(Mistake(("rules", index, "function"), str(error)))
        for axis, wanted in (rule.forbid or {}).items():
            known = [*Axis(axis, tuple(getattr(config.space, axis))).values]
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if not Forbid({axis: value}, "-").can_match(known):
                    mistakes.append(
                        Mistake(
                            ("rules", index, "forbid", axis),
                            f"{value!r} forbids nothing: no {axis} of the space is that",
                            _offer(str(value), [str(v) for v in known], f"{axis} can be"),
                        )
                    )
    metrics = [entry.metric for entry in config.objectives or []]
    for index, metric in enumerate(metrics):
        if metric in metrics[:index]:
            problem = f"{metric} is an objective already"
            mistakes.append(Mistake(("objectives", index), problem, "delete one of them"))
    known_runners = [*RUNTIMES, *config.runners]
    for index, target in enumerate(config.space.execution_provider):
        runner = split_target(target)[0]
        if runner not in known_runners:
            mistakes.append(
                Mistake(
                    ("space", "execution_provider", index),
                    f"unknown runner {runner!r}",
                    _offer(runner, known_runners, "the runners are"),
                )
            )
    return mistakes


def _workload_to_check(source: YamlSource) -> str | None:
    """Return the workload; where it is missing, the one beside the file, to check the rest by."""
    written = source.values.get("workload")
    if isinstance(written, str) and not _workload_mistakes(source):
        return written
    return _workload_beside(source.folder)


def _name_mistakes(values: dict[str, Any], info: WorkloadInfo) -> list[Mistake]:
    """Check the names of models and metrics against what the workload offers."""
    mistakes = []
    space = values.get("space")
    students = space.get("student") if isinstance(space, dict) else None
    for index, name in enumerate(students if isinstance(students, list) else []):
        if isinstance(name, str) and name not in info.models:
            mistakes.append(
                Mistake(
                    ("space", "student", index),
                    f"unknown student {name!r}",
                    _offer(name, info.models, f"the workload {info.name} offers"),
                )
            )
    known = [*METRICS, info.quality_metric]
    for section in ("objectives", "constraints"):
        entries = values.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            metric = entry.get("metric") if isinstance(entry, dict) else None
            if isinstance(metric, str) and metric not in known:
                mistakes.append(
                    Mistake(
                        (section, index, "metric"),
                        f"unknown metric {metric!r}",
                        _offer(metric, known, "recorded metrics are"),
                    )
                )
            elif isinstance(metric, str) and metric in METRICS:
                need = METRICS[metric].needs
                if need == "pipeline" and info.pipeline is None:
                    problem = f"{metric} needs pre- or post-processing, and {info.name} has none"
                    mend = "give the workload `pipeline` and `requests()`"
                    mistakes.append(Mistake((section, index, "metric"), problem, mend))
                if need == "load" and not _offers_load(values):
                    problem = f"{metric} needs load, and none is offered"
                    mend = "add `measurement: {load: {queries_per_s: …}}`"
                    mistakes.append(Mistake((section, index, "metric"), problem, mend))
    return mistakes


def _offers_load(values: dict[str, Any]) -> bool:
    measurement = values.get("measurement")
    return isinstance(measurement, dict) and bool(measurement.get("load"))


def _workload_beside(folder: Path) -> str | None:
    """Return ``FILE.py:CLASS`` of the only workload class beside the study file, if any."""
    found = [
        f"{file.name}:{match.group(1)}"
        for file in sorted(folder.glob("*.py"))
        for match in re.finditer(
            r"^class (\w+)\(.*\w*Workload\b.*\):", file.read_text("utf-8", errors="replace"), re.M
        )
    ]
    return found[0] if len(found) == 1 else None


def _from_pydantic(error: dict[str, Any]) -> Mistake:
    location, got, kind = tuple(error["loc"]), error["input"], error["type"]
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        known = _keys_at(location[:-1])
        return Mistake(
            location,
            f"unknown key {str(location[-1])!r}",
            _offer(str(location[-1]), known, "known keys here are"),
        )
    if kind == "missing":
        mend = f"add `{location[-1]}: …`"
        description = _field_description(location)
        return Mistake(location, "missing", f"{mend} ({description})" if description else mend)
    problem = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    problem = re.sub(r"^should ", "must ", problem)
    if kind == "enum":
        expected = re.findall(r"'([^']*)'", context.get("expected", ""))
        return Mistake(location, f"unknown value {got!r}", _offer(str(got), expected, "it can be"))
    if kind == "value_error":
        return Mistake(location, problem)
    return Mistake(location, f"{problem}; got {got!r}", _mend_for(kind, context))


def _mend_for(kind: str, context: dict[str, Any]) -> str:
    if kind.startswith("int"):
        return "write a whole number, without quotes"
    if kind.startswith("float"):
        return "write a number, without quotes"
    if kind == "string_pattern_mismatch":
        return "write letters, digits, '_', '-' and '.' only"
    if kind.startswith("string"):
        return "write a text"
    if kind.startswith("list"):
        return "write a list: [a, b, c]"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "write keys and values, indented"
    if kind == "greater_than_equal":
        return f"write {context['ge']} or more"
    if kind == "greater_than":
        return f"write more than {context['gt']}"
    if kind == "less_than":
        return f"write less than {context['lt']}"
    return ""


def _keys_at(location: Location) -> list[str]:
    model = _model_at(location)
    return list(model.model_fields) if model else []


def _field_description(location: Location) -> str:
    model = _model_at(location[:-1])
    field = model.model_fields.get(str(location[-1])) if model else None
    return (field.description or "") if field else ""


def _model_at(location: Location) -> type[BaseModel] | None:
    """Return the schema of a section, by following field types from the top."""
    model: type[BaseModel] = StudyConfig
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _model_in(a))), None)


def _offer(got: str, known: Any, introduction: str) -> str:
    close = difflib.get_close_matches(got, list(known), n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}{introduction} {', '.join(known)}"


def _report(source: YamlSource, mistakes: list[Mistake]) -> str:
    count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
    lines = [f"{source.path}: {count}"]
    for mistake in sorted(mistakes, key=lambda m: source.line(m.location) or 0):
        line = source.line(mistake.location)
        where = f"line {line}" if line else "top level"
        lines.append(f"  {where}: {_dotted(mistake.location)}: {mistake.problem}")
        if mistake.mend:
            lines.append(f"      → {mistake.mend}")
    return "\n".join(lines)


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the file"
